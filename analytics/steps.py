"""Steps of funnels and paths as people write them: `channel:type[field=value]`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from schemas.touchpoint import CHANNEL_FIELDS, CHANNELS

_STEP: Final = re.compile(r"(?P<channel>[^:\[\]]+):(?P<type>[^:\[\]]+)(?P<filters>(?:\[[^\]]*\])*)")
_FILTER: Final = re.compile(r"\[([^\]]*)\]")
_TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Typed fields that the ledger keeps in columns of their own.
_COLUMNS: Final = {
    "account": "account",
    "stage": "stage",
    "language": "language",
    "currency": "currency",
    "amount_minor": "toString(amount_minor)",
}


class BadStep(Exception):
    """A step cannot be read; the message quotes it and says what is wrong."""

    def __init__(self, step: str, fault: str) -> None:
        super().__init__(f"step {step!r}: {fault}")
        self.step = step


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of touchpoint: channel, type, and what fields must equal."""

    text: str
    channel: str
    type: str
    filters: tuple[tuple[str, str], ...] = ()

    def condition(self, name: str) -> tuple[str, dict[str, Any]]:
        """SQL that is true for a row of the ledger, and its parameters, which start with `name`."""
        terms = [f"channel = %({name}_channel)s", f"type = %({name}_type)s"]
        values: dict[str, Any] = {f"{name}_channel": self.channel, f"{name}_type": self.type}
        for index, (field, value) in enumerate(self.filters):
            key = f"{name}_{index}"
            values[key] = value
            if field in _COLUMNS:
                terms.append(f"{_COLUMNS[field]} = %({key})s")
                continue
            values[f"{key}_field"] = field
            if field == "purpose" or field in CHANNEL_FIELDS[self.channel]:
                terms.append(f"fields[%({key}_field)s] = %({key})s")
            else:
                # A property may be a text, or a number or flag as JSON writes it.
                terms.append(
                    f"(JSONExtractString(properties, %({key}_field)s) = %({key})s"
                    f" OR JSONExtractRaw(properties, %({key}_field)s) = %({key})s)"
                )
        return "(" + " AND ".join(terms) + ")", values


def parse_step(text: str) -> Step:
    """Read `channel:type` with any number of `[field=value]`. Raises BadStep."""
    match = _STEP.fullmatch(text.strip())
    if match is None:
        raise BadStep(text, "is not channel:type or channel:type[field=value]")
    channel, type_ = match["channel"].strip(), match["type"].strip()
    if channel not in CHANNELS:
        raise BadStep(text, f"channel {channel!r} is unknown; one of {', '.join(CHANNELS)}")
    if not _TYPE.fullmatch(type_):
        raise BadStep(text, f"type {type_!r} is not lower case letters, digits and underscores")
    filters = []
    for inner in _FILTER.findall(match["filters"]):
        field, equals, value = inner.partition("=")
        field, value = field.strip(), value.strip()
        if not (field and equals and value):
            raise BadStep(text, f"[{inner}] is not [field=value]")
        filters.append((field, value))
    return Step(text.strip(), channel, type_, tuple(filters))


def are_disjoint(steps: list[Step]) -> bool:
    """Whether no touchpoint can match two of the steps."""
    return not any(_may_overlap(a, b) for a, b in combinations(steps, 2))


def _may_overlap(a: Step, b: Step) -> bool:
    if (a.channel, a.type) != (b.channel, b.type):
        return False
    wanted = dict(a.filters)
    return not any(wanted.get(field, value) != value for field, value in b.filters)
