"""How a file's columns become a touchpoint: a TOML mapping, compiled once to functions."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from producers.conversion import ConversionError, OptionError, conversion_of, text_of
from schemas.touchpoint import CHANNEL_FIELDS, IdentifierKind

Row = dict[str, str]
Cell = Callable[[Row], Any]  # None where the row has nothing to say

_COMMON: Final = (
    "channel",
    "type",
    "occurred_at",
    "event_id",
    "account",
    "text",
    "language",
    "purpose",
)
_FIELDS: Final = frozenset(_COMMON).union(*CHANNEL_FIELDS.values())
_TOP: Final = frozenset({"name", "delimiter", "columns", "touchpoint"})
_REQUIRED: Final = ("channel", "type", "occurred_at", "identifiers")


class MappingError(Exception):
    """A mapping file is missing, unreadable or wrong; the message names the key and the fix."""


class RowError(Exception):
    """A row has a cell that does not convert; `field` is the touchpoint's field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """A compiled mapping. `columns` empty: the file's first line names them."""

    name: str
    delimiter: str  # one character, or `whitespace`
    columns: tuple[str, ...]
    fields: tuple[tuple[str, Cell], ...]
    properties: tuple[tuple[str, Cell], ...]
    identifiers: tuple[tuple[str, Cell], ...]  # (kind, value)
    used: frozenset[str]  # columns that some field reads
    naming: Mapping[str, str]  # column -> kind of the identifier made of it

    def touchpoint(self, row: Row) -> dict[str, Any]:
        """The row as a wire touchpoint, blank cells left out. Raises RowError."""
        made: dict[str, Any] = {"schema_version": 1}
        for field, cell in self.fields:
            value = _converted(field, cell, row)
            if value is not None:
                made[field] = value
        made["identifiers"] = [
            {"kind": kind, "value": value}
            for place, (kind, cell) in enumerate(self.identifiers)
            if (value := _converted(f"identifiers.{place}", cell, row)) is not None
        ]
        if self.properties:
            made["properties"] = {
                name: value
                for name, cell in self.properties
                if (value := _converted(f"properties.{name}", cell, row)) is not None
            }
        return made


def load_mapping(path: Path) -> CsvMapping:
    """Read and compile a mapping; raises MappingError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}; name a mapping file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: is not TOML: {error}") from None
    try:
        return compile_mapping(tables, path.stem)
    except MappingError as error:
        raise MappingError(f"{path}: {error}") from None


def compile_mapping(tables: Mapping[str, Any], name: str) -> CsvMapping:
    """A mapping from its TOML tables; `name` where they give none. Raises MappingError."""
    _known(tables, _TOP, "")
    delimiter = tables.get("delimiter", ",")
    if delimiter != "whitespace" and not (isinstance(delimiter, str) and len(delimiter) == 1):
        raise MappingError("delimiter: give one character, or `whitespace`")
    columns = tables.get("columns", [])
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        raise MappingError("columns: give a list of names")
    wanted = tables.get("touchpoint")
    if not isinstance(wanted, dict):
        raise MappingError("touchpoint: is missing; add a [touchpoint] table of fields")
    _known(wanted, _FIELDS | {"identifiers", "properties"}, "touchpoint.")
    for field in _REQUIRED:
        if field not in wanted:
            raise MappingError(f"touchpoint.{field}: is missing; every touchpoint needs it")
    used: set[str] = set()
    naming: dict[str, str] = {}
    mapping = CsvMapping(
        name=str(tables.get("name", name)),
        delimiter=delimiter,
        columns=tuple(columns),
        fields=tuple(
            (field, _cell(f"touchpoint.{field}", value, used))
            for field, value in wanted.items()
            if field not in {"identifiers", "properties"}
        ),
        properties=tuple(
            (field, _cell(f"touchpoint.properties.{field}", value, used))
            for field, value in wanted.get("properties", {}).items()
        ),
        identifiers=_identifiers(wanted["identifiers"], used, naming),
        used=frozenset(used),
        naming=naming,
    )
    missing = used.difference(columns) if columns else set()
    if missing:
        raise MappingError(f"touchpoint: column {min(missing)!r} is not among `columns`")
    return mapping


def _identifiers(
    given: object, used: set[str], naming: dict[str, str]
) -> tuple[tuple[str, Cell], ...]:
    if not isinstance(given, list) or not given:
        raise MappingError(
            'touchpoint.identifiers: give a list such as [{kind="customer", column="id"}]'
        )
    made: list[tuple[str, Cell]] = []
    for place, entry in enumerate(given):
        where = f"touchpoint.identifiers.{place}"
        if not isinstance(entry, dict) or entry.get("kind") not in list(IdentifierKind):
            raise MappingError(f"{where}.kind: give one of {', '.join(IdentifierKind)}")
        read: set[str] = set()
        rest = {option: value for option, value in entry.items() if option != "kind"}
        made.append((entry["kind"], _cell(where, rest, read)))
        kind: str = entry["kind"]
        naming.update(dict.fromkeys(read, kind))
        used |= read
    return tuple(made)


def _cell(where: str, given: object, used: set[str]) -> Cell:
    """A constant, `{column=…, …}` or `{template="…"}` as a function of the row."""
    if not isinstance(given, dict):
        return lambda _row: given
    options = dict(given)
    try:
        if "template" in options:
            return text_of(options, used)
        column = options.pop("column", None)
        convert = conversion_of(options)
    except OptionError as error:
        raise MappingError(f"{where}: {error}") from None
    if not isinstance(column, str):
        raise MappingError(f"{where}.column: give a column's name, or a `template`")
    used.add(column)
    return lambda row: convert(text) if (text := row[column].strip()) else None


def _converted(field: str, cell: Cell, row: Row) -> Any:
    try:
        return cell(row)
    except ConversionError as error:
        raise RowError(field, str(error)) from None


def _known(tables: Mapping[str, Any], names: frozenset[str], prefix: str) -> None:
    for key in tables:
        if key not in names:
            raise MappingError(f"{prefix}{key}: is not known; known: {', '.join(sorted(names))}")
