"""The policy file: TOML to `core.policy.Policy`, read once in a composition root."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.core.policy import WEIGHTS, Policy, SpendModel, ValueModel
from streams.core.value import SEGMENTS
from streams.core.value_fit import to_toml

_POSITIVE: Final = (
    "half_life",
    "survey_half_life",
    "effort_half_life",
    "promise_half_life",
    "distress_half_life",
    "recency_half_life",
    "idle_floor",
)
_NOT_NEGATIVE: Final = ("contact_window", "promise_window", "recency_grace")
_HEADER: Final = re.compile(r"\s*\[\[?\s*[\"']?([\w-]+)")
_SPEND: Final = ("p", "q", "v", "high")


class PolicyError(Exception):
    """The policy file is missing or invalid; the message names the file, the key and the fix."""


def load_policy(path: Path | None) -> Policy:
    """The policy in a TOML file, the defaults for what it leaves out; the defaults without a file.

    Raises PolicyError.
    """
    if path is None:
        return Policy()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}; create it or unset the setting") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: is not TOML: {error}") from None
    _names(path, "", given, [f.name for f in fields(Policy)])
    _weights(path, given)
    _value(path, given.get("value", {}))
    for name in (*_POSITIVE, *_NOT_NEGATIVE):
        if name in given:
            _number(path, name, given[name], above=0 if name in _POSITIVE else None)
    try:
        policy = msgspec.convert(_settled(given), Policy)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        raise PolicyError(f"{path}: {where.rstrip('`') or 'file'}: {message}") from None
    if not 0 <= policy.red < policy.amber < 100:
        raise PolicyError(f"{path}: red, amber: need 0 ≤ red < amber < 100")
    return policy


def with_value(source: str, model: ValueModel) -> str:
    """The text of a policy file with its `[value]` tables replaced; everything else stays.

    Raises PolicyError where the value stands there in another form than as tables.
    """
    kept: list[str] = []
    comments: list[str] = []  # that end a [value] table: they belong to what comes after it
    inside = False
    for line in source.splitlines():
        if header := _HEADER.match(line):
            inside = header[1] == "value"
        if not inside:
            kept += [*comments, line]
            comments = []
        elif line.startswith("#"):
            comments.append(line)
        elif line.strip():
            comments = []
    kept += comments
    body = "\n".join(kept).rstrip()
    text = f"{body}\n\n{to_toml(model)}" if body else to_toml(model)
    try:
        before, after = tomllib.loads(source), tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"the policy file: {error}; write value as [value] tables") from None
    if {**before, "value": None} != {**after, "value": None}:
        raise PolicyError("the policy file: its [value] cannot be told apart; move it to the end")
    return text


def save_value(path: Path, model: ValueModel) -> None:
    """Write a fitted model to a policy file, whole or not at all. Raises PolicyError, OSError."""
    source = path.read_text(encoding="utf-8") if path.exists() else ""
    text = with_value(source, model)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    load_policy(new)
    new.replace(path)


def _settled(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "weights": {**WEIGHTS, **given.get("weights", {})}}


def _weights(path: Path, given: Mapping[str, Any]) -> None:
    segments = _table(path, "segments", given.get("segments", {}))
    _names(path, "segments.", segments, list(SEGMENTS))
    tables = {"weights": given.get("weights", {})}
    tables |= {f"segments.{name}": table for name, table in segments.items()}
    for key, table in tables.items():
        _names(path, f"{key}.", _table(path, key, table), list(WEIGHTS))
        for name, weight in table.items():
            _number(path, f"{key}.{name}", weight)
        if not any({**WEIGHTS, **tables["weights"], **table}.values()):
            raise PolicyError(f"{path}: {key}: every weight is zero; give one a weight")
    for name, weight in _table(path, "roles", given.get("roles", {})).items():
        _number(path, f"roles.{name}", weight)


def _value(path: Path, given: Any) -> None:
    table = _table(path, "value", given)
    _names(path, "value.", table, [f.name for f in fields(ValueModel)])
    for name in ("r", "alpha", "a", "b", "unit_days", "horizon_days"):
        if name in table:
            _number(path, f"value.{name}", table[name], above=0)
    if "discount" in table:
        _number(path, "value.discount", table["discount"])
    for currency, spend in _table(path, "value.spend", table.get("spend", {})).items():
        key = f"value.spend.{currency}"
        _names(path, f"{key}.", _table(path, key, spend), [f.name for f in fields(SpendModel)])
        for name in _SPEND:
            if name not in spend:
                raise PolicyError(f"{path}: {key}.{name}: is missing; run `journey fit-value`")
            _number(path, f"{key}.{name}", spend[name], above=0)


def _table(path: Path, key: str, given: Any) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    raise PolicyError(f"{path}: {key}: is not a table; write it as [{key}]")


def _names(path: Path, prefix: str, given: Mapping[str, Any], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise PolicyError(f"{path}: {prefix}{name}: is not known; known: {', '.join(known)}")


def _number(path: Path, key: str, given: Any, above: float | None = None) -> None:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not given < float("inf") or (given < 0 if above is None else given <= above):
        least = "of zero or more" if above is None else f"above {above:g}"
        raise PolicyError(f"{path}: {key}: is {given!r}; give a number {least}")
