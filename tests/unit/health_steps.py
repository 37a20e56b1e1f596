"""Ledger rows for tests of health and value, built a line each."""

from __future__ import annotations

from itertools import count
from uuid import UUID

from schemas.outcome import JourneyStep
from schemas.state import Part
from streams.core.health import Health, score
from streams.core.journey import DAY_MS, apply

START = 20_000  # days since 1970: 2024-10-04
HOUR = DAY_MS // 24
_ids = count(1)


def at(day: float) -> int:
    """Epoch ms of a day (and its fraction) of a story."""
    return int((START + day) * DAY_MS)


def end_of(day: int) -> int:
    """The last millisecond of a day of a story."""
    return at(day + 1) - 1


def step(
    day: float,
    kind: str,
    text: str = "",
    mood: int = 0,
    distress: int = 0,
    amount: int = 0,
    currency: str = "USD",
    properties: str = "{}",
    **fields: object,
) -> JourneyStep:
    """A touchpoint of a day, `kind` as `channel:type`; `mood` and `distress` in milli-units.

    `promised_at` is given as a day of the story.
    """
    channel, _, type_ = kind.partition(":")
    if "promised_at" in fields:
        fields["promised_at"] = at(float(str(fields["promised_at"])))
    return JourneyStep(
        event_id=str(UUID(int=next(_ids))),
        occurred_ms=at(day + 0.4),
        anchor="customer:C-1",
        channel=channel,
        type=type_,
        stage="",
        identifiers=["customer:C-1"],
        account="",
        text=text,
        language="",
        sentiment=mood,
        distress=distress,
        scorer="1" if text else "",
        fields={name: str(value).lower() for name, value in fields.items()},
        amount_minor=amount,
        currency=currency if amount else "",
        properties=properties,
        received_ms=at(day + 0.4),
    )


def part_of(steps: list[JourneyStep]) -> Part:
    """The part of an anchor that told these."""
    part = Part()
    for each in steps:
        apply(part, each)
    return part


def health_on(steps: list[JourneyStep], day: int) -> Health:
    """Health at the end of a day of a story, from all of its steps, later ones too."""
    return score(part_of(steps), end_of(day))
