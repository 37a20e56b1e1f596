"""The two customers of the unit stories as touchpoints that producers send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from schemas.outcome import JourneyStep
from tests.unit.health_steps import at

Names = Mapping[str, tuple[str, ...]]  # channel or `channel:type` -> the names it is seen by

MAYA_NAMES: Final[Names] = {
    "web": ("cookie:maya-browser",),
    "web:sign_up": ("cookie:maya-browser", "customer:maya", "phone:+1 202 555 0143"),
    "call_center": ("phone:+1 (202) 555-0143",),
    "": ("customer:maya",),
}
REZA_NAMES: Final[Names] = {
    "web": ("cookie:reza-browser",),
    "app": ("device:reza-phone",),
    "app:sign_up": (
        *("cookie:reza-browser", "device:reza-phone", "customer:reza"),
        "phone:۰۹۱۲۷۶۵۴۳۲۱",
    ),
    "call_center": ("phone:+98 912 765 4321",),
    "": ("customer:reza",),
}
_WHOLE: Final = ("answer", "wait_seconds", "transfers")


def wire(steps: Iterable[JourneyStep], names: Names, account: str = "") -> list[dict[str, Any]]:
    """The steps of a story as touchpoints; nothing of their scores, which are the pipeline's."""
    return [_touchpoint(step, names, account) for step in steps]


def day(number: int) -> str:
    """The date of a day of a story, in UTC."""
    return _moment(at(number))[:10]


def _touchpoint(step: JourneyStep, names: Names, account: str) -> dict[str, Any]:
    kind = f"{step.channel}:{step.type}"
    seen = names.get(kind) or names.get(step.channel) or names[""]
    told: dict[str, Any] = {
        "event_id": step.event_id,
        "occurred_at": _moment(step.occurred_ms),
        "channel": step.channel,
        "type": step.type,
        "identifiers": [
            dict(zip(("kind", "value"), name.split(":", 1), strict=True)) for name in seen
        ],
    }
    for name, value in step.fields.items():
        if name == "promised_at":
            told[name] = _moment(int(value))
        elif name in _WHOLE:
            told[name] = int(value)
        elif name == "resolved":
            told[name] = value == "true"
        else:
            told[name] = value.upper() if name == "order" else value
    if step.text:
        told["text"] = step.text
    if step.amount_minor:
        told |= {"amount_minor": step.amount_minor, "currency": step.currency}
    if account:
        told["account"] = account
    return told


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
