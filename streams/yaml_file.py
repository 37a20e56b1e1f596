"""A YAML file checked by pydantic: every fault with file, line, field and fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

_DEEPEST: Final = 8
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it was built
Place = tuple[str | int, ...]  # where in the file: keys and positions
Lines = dict[Place, int]
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A table of a file: nothing that it does not know, and no number that is none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a file, where, and the fix."""

    file: Path
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}: {where}{self.message}"


class FileError(Exception):
    """A file is missing or invalid; a line for each fault, in order of the file."""

    def __init__(self, *faults: Fault | str) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


def load_file(
    path: Path, model: type[Model], error_type: type[FileError]
) -> tuple[Model, Any, Lines]:
    """A file as its model, its values as given, and the line of each; raises `error_type`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise error_type(f"{path}: {error.strerror}; create it or unset the setting") from None
    except UnicodeDecodeError:
        raise error_type(f"{path}: is not UTF-8; save it as that") from None
    given, lines = _parsed(path, text, error_type)
    try:
        return model.model_validate(given), given, lines
    except ValidationError as error:
        faults = [_fault(path, model, lines, given, one) for one in error.errors()]
        raise error_type(*sorted(faults, key=lambda fault: (fault.line, fault.field))) from None


def _parsed(path: Path, text: str, error_type: type[FileError]) -> tuple[Any, Lines]:
    """The file's values, scalars as text, and the line of each."""
    lines: Lines = {(): 1}
    faults: list[Fault] = []
    try:
        root = yaml.compose(text, Loader=_LOADER)
        given = {} if root is None else _value(path, root, (), lines, faults)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise error_type(Fault(path, line, "", f"is not YAML: {error.problem}")) from None
    except yaml.YAMLError as error:
        raise error_type(Fault(path, 1, "", f"is not YAML: {error}")) from None
    if faults:
        raise error_type(*faults)
    return given, lines


def _value(path: Path, node: yaml.Node, at: Place, lines: Lines, faults: list[Fault]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(at, line)
    if len(at) > _DEEPEST:  # also an alias within its own anchor
        faults.append(Fault(path, line, told(at[:1]), "is nested too deep"))
        return None
    if isinstance(node, yaml.ScalarNode):
        # As written: YAML 1.1 would read 21:00 as 1260, and no as false.
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(path, one, (*at, n), lines, faults) for n, one in enumerate(node.value)]
    found: dict[str, Any] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in found:
            faults.append(Fault(path, line, told((*at, name)), "stands twice; keep one"))
        lines[*at, name] = line
        found[name] = _value(path, value, (*at, name), lines, faults)
    return found


def _fault(
    path: Path, model: type[BaseModel], lines: Lines, given: Any, error: ErrorDetails
) -> Fault:
    at = tuple(error["loc"])
    line = next(lines[at[:n]] for n in range(len(at), -1, -1) if at[:n] in lines)
    return Fault(path, line, told(at, given), _message(model, error, at))


def _message(model: type[BaseModel], error: ErrorDetails, at: Place) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return f"is not known; known: {', '.join(_known(model, at[:-1]))}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "too_short":
        return "is empty; give at least one"
    given = error["input"]
    message = error["msg"].replace("Input should", "should").replace("String should", "should")
    shown = f"is {given!r}; " if isinstance(given, str | int | float) else ""
    return f"{shown}{message}"


def _known(within: type[BaseModel], at: Place) -> Iterator[str]:
    """What may stand in the table at a place."""
    model: Any = within
    for key in at:
        if isinstance(key, int):
            continue
        field = next(f for n, f in model.model_fields.items() if key in (n, f.alias))
        model = next(m for m in _models(field.annotation))
    return (field.alias or name for name, field in model.model_fields.items())


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def told(at: Place, given: Any = None) -> str:
    """A place as people name it, such as `rules[late_delivery].template.fa.body`."""
    found = ""
    for key in at:
        given = _within(given, key)
        if isinstance(key, int):
            named = given.get("name", key) if isinstance(given, dict) else key
            found += f"[{named}]"
        else:
            found += f".{key}" if found else key
    return found


def _within(given: Any, key: str | int) -> Any:
    try:
        return given[key]
    except (TypeError, KeyError, IndexError):
        return None
