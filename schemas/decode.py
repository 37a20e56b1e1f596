"""Bytes to touchpoint, or to a rejection that names the field and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.outcome import Reason
from schemas.touchpoint import CHANNELS, MAX_BYTES, TOUCHPOINT, Touchpoint


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a record is not a touchpoint. `field` is a dotted path, empty for the whole record."""

    reason: Reason
    field: str
    message: str


# pydantic error type -> reason; anything else is INVALID_FIELD
_REASONS = {
    "json_invalid": Reason.MALFORMED_JSON,
    "extra_forbidden": Reason.UNKNOWN_FIELD,
    "missing": Reason.MISSING_FIELD,
    "union_tag_not_found": Reason.MISSING_FIELD,
    "union_tag_invalid": Reason.UNKNOWN_CHANNEL,
    "timezone_aware": Reason.BAD_TIME,
    "string_too_long": Reason.OVERSIZED,
    "too_long": Reason.OVERSIZED,
}
# pydantic error type -> what is wrong and the fix, where pydantic's own words name neither
_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field here: put it under properties, or leave it out",
    "timezone_aware": "has no zone: add one, such as Z or +03:30",
    "union_tag_not_found": "is missing",
    "union_tag_invalid": f"is none of {', '.join(CHANNELS)}",
}


def decode(raw: bytes, now: datetime) -> Touchpoint | Rejection:
    """Validate one record of `touchpoints` against the contract as of `now` (zone-aware)."""
    if len(raw) > MAX_BYTES:
        return Rejection(
            Reason.OVERSIZED, "", f"is {len(raw):,} bytes; a touchpoint has {MAX_BYTES:,} at most"
        )
    try:
        return TOUCHPOINT.validate_json(raw, context={"now": now})
    except ValidationError as error:
        return _rejection_of(error.errors(include_url=False, include_input=False))


def _rejection_of(errors: list[ErrorDetails]) -> Rejection:
    """The first of pydantic's errors as a rejection; the union's tag is left out of the path."""
    error = errors[0]
    path = [str(part) for part in error["loc"]]
    if path and path[0] in CHANNELS:
        path = path[1:]
    if path[0:1] == ["properties"] and len(path) > 2:
        return _rejected_property(path[1], errors)
    kind = error["type"]
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        path = ["channel"]
    reason = _REASONS.get(kind, Reason.INVALID_FIELD)
    if path[:1] in (["occurred_at"], ["promised_at"]) and reason is Reason.INVALID_FIELD:
        reason = Reason.BAD_TIME
    message = _MESSAGES.get(kind) or error["msg"].removeprefix("Value error, ")
    return Rejection(reason, ".".join(path), message)


def _rejected_property(name: str, errors: list[ErrorDetails]) -> Rejection:
    """Of a value that is none of several types pydantic tells why for each."""
    field = f"properties.{name}"
    for error in errors:
        if error["type"] == "string_too_long" and name in error["loc"]:
            return Rejection(Reason.OVERSIZED, field, error["msg"])
    return Rejection(
        Reason.INVALID_FIELD, field, "is not text, a finite number, true, false or null"
    )
