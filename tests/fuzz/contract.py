"""The contract of a touchpoint written a second time, by hand and without our code.

It judges records that chance made. What the contract leaves to the reader of JSON, such as whether
"5" may stand for 5, is None: nobody knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, Final
from uuid import UUID

MOST_BYTES: Final = 65_536
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)

Verdict = bool | None
Check = Callable[[Any], Verdict]

_PLAIN_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,6})?(?:Z|[+-](\d\d):(\d\d))", re.ASCII
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class _Unknown(Exception):
    """Nobody knows how this is read."""


def judge(raw: bytes, now: datetime) -> Verdict:
    """Whether a record is a touchpoint as of `now`; None where the contract does not say."""
    if len(raw) > MOST_BYTES:
        return False
    try:
        record = json.loads(raw.decode(), parse_constant=_constant)
    except _Unknown:
        return None
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict) or _has_half_pairs(record):
        return False
    return _all(
        [
            _channel(record),
            *(name in record for name in ("event_id", "occurred_at", "type", "identifiers")),
            *(_field(record, name, now) for name in record),
        ]
    )


def _constant(_: str) -> None:
    raise _Unknown


def _all(verdicts: list[Verdict]) -> Verdict:
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _has_half_pairs(value: Any) -> bool:
    return bool(re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)))


def _channel(record: Mapping[str, Any]) -> bool:
    channel = record.get("channel")
    return isinstance(channel, str) and channel in FIELDS


def _field(record: Mapping[str, Any], name: str, now: datetime) -> Verdict:
    value = record[name]
    if name == "channel":
        return True
    if name == "occurred_at":
        return _time(value, now + timedelta(minutes=5))
    if name in _REQUIRED:
        return _REQUIRED[name](value)
    fields = FIELDS.get(str(record.get("channel")), {})
    check = _OPTIONAL.get(name) or fields.get(name)
    if check is None:
        return False
    if name == "answer" and isinstance(value, int):
        low, high = _SCALES.get(str(record.get("survey")), (0, 10))
        return _whole(low, high)(value)
    return True if value is None else check(value)


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most


def _short(value: Any) -> Verdict:
    if not isinstance(value, str):
        return False
    if _CONTROL.search(value):
        return None if _CONTROL.search(value.strip()) is None else False
    return 1 <= len(value.strip()) <= 256


def _matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> Verdict:
        if isinstance(value, bool | str):
            return None
        if isinstance(value, float):
            return None if value.is_integer() else False
        return isinstance(value, int) and low <= value <= high

    return check


def _flag(value: Any) -> Verdict:
    if isinstance(value, bool):
        return True
    return None if isinstance(value, str | int | float) else False


def _uuid(value: Any) -> Verdict:
    if not isinstance(value, str):
        return False
    if _PLAIN_UUID.fullmatch(value):
        return True
    try:
        UUID(value)
    except ValueError:
        return False
    return None


def _time(value: Any, latest: datetime | None = None) -> Verdict:
    if not isinstance(value, str) or value[10:11] not in ("T", "t", " "):
        return False
    parts = _TIME.fullmatch(value)
    if parts is None:
        return None
    year, month, day, hour, minute, second, ahead, ahead_minutes = (
        int(p or 0) for p in parts.groups()
    )
    if ahead_minutes > 59 or ahead > 23:
        return None
    try:
        datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return False
    found = datetime.fromisoformat(value)
    return found >= EARLIEST and (latest is None or found <= latest)


def _version(value: Any) -> Verdict:
    if isinstance(value, int) and not isinstance(value, bool):
        return value == 1
    return None if isinstance(value, bool | float) else False


def _identifiers(value: Any) -> Verdict:
    if not isinstance(value, list) or not 1 <= len(value) <= 16:
        return False
    return _all([_identifier(item) for item in value])


def _identifier(value: Any) -> Verdict:
    if not isinstance(value, dict) or set(value) != {"kind", "value"}:
        return False
    kinds = ("customer", "email", "phone", "order", "serial", "device", "cookie")
    return _all([_one_of(*kinds)(value["kind"]), _short(value["value"])])


def _properties(value: Any) -> Verdict:
    if not isinstance(value, dict) or len(value) > 64:
        return False
    return _all([1 <= len(name) <= 64 and _property(item) for name, item in value.items()])


def _property(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 2048
    if isinstance(value, float):
        return isfinite(value)
    return value is None or isinstance(value, bool | int)


_REQUIRED: Final[Mapping[str, Check]] = {
    "event_id": _uuid,
    "type": _matches("[a-z][a-z0-9_]{0,63}"),
    "identifiers": _identifiers,
    "schema_version": _version,
    "properties": _properties,
}
_OPTIONAL: Final[Mapping[str, Check]] = {
    "account": _short,
    "text": _text(8192),
    "language": _one_of("fa", "en"),
    "purpose": _short,
}
_COUNT: Final = _whole(0, 10**9)
_DIGITAL: Final[Mapping[str, Check]] = {
    "page": _text(2048),
    "referrer": _text(2048),
    "product": _short,
    "campaign": _short,
}
_SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
FIELDS: Final[Mapping[str, Mapping[str, Check]]] = {
    "web": _DIGITAL,
    "app": _DIGITAL,
    "packaging": {"serial": _short, "product": _short, "region": _short},
    "call_center": {
        "wait_seconds": _COUNT,
        "talk_seconds": _COUNT,
        "transfers": _COUNT,
        "resolved": _flag,
        "reason": _short,
    },
    "survey": {"survey": _one_of(*_SCALES), "answer": _whole(0, 10)},
    "store": {"branch": _short, "rating": _whole(1, 5)},
    "order": {
        "order": _short,
        "product": _short,
        "amount_minor": _whole(-(10**15), 10**15),
        "currency": _matches("[A-Z]{3}"),
        "promised_at": _time,
    },
    "chat": {"direction": _one_of("inbound", "outbound"), "resolved": _flag},
    "outreach": {"rule": _short, "by": _short, "decision": _short},
}
