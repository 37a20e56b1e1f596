"""Records of our topics for tests of the sink and of queries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from aiokafka import ConsumerRecord

from schemas.outcome import (
    Account,
    CustomerHealth,
    DeadLetter,
    JourneyStep,
    Link,
    Member,
    OutreachDecision,
    OutreachOutcome,
    Status,
)
from schemas.state import Part, PartUpdate

_NO_EVENT = "00000000-0000-0000-0000-000000000000"
_NOW = 1_900_000_000_000


def step(anchor: str, occurred_ms: int, number: int = 0, **changes: Any) -> JourneyStep:
    """A page view of an anchor; `number` makes its event id."""
    return JourneyStep(
        **{
            "event_id": str(UUID(int=number)),
            "occurred_ms": occurred_ms,
            "anchor": anchor,
            "channel": "web",
            "type": "page_view",
            "stage": "awareness",
            "identifiers": [anchor],
            "account": "",
            "text": "",
            "language": "",
            "sentiment": 0,
            "distress": 0,
            "scorer": "",
            "fields": {},
            "amount_minor": 0,
            "currency": "",
            "properties": "{}",
            "received_ms": occurred_ms + 250,
            **changes,
        }
    )


def record(topic: str, value: object, partition: int = 0, offset: int = 0) -> Any:
    """A record as aiokafka hands it over; bytes and None stay as they are."""
    raw = value if value is None or isinstance(value, bytes) else msgspec.json.encode(value)
    return ConsumerRecord(topic, partition, offset, 0, 0, None, raw, None, -1, len(raw or b""), ())


# One of each topic that the sink reads.
ONE_OF_EACH: dict[str, msgspec.Struct] = {
    "journeys": step("cookie:1", _NOW),
    "identity.members": Member("cookie:1", "email:h", 1),
    "identity.links": Link("cookie:1", "email:h", _NO_EVENT, 1, "web"),
    "parts": PartUpdate("cookie:1", "email:h", 1, 1, Part(n=1)),
    "customers": CustomerHealth("email:h", 1, 2, 1, 50, 0, 0, "", "", {}, [], {}),
    "accounts": Account("B2B-1", 1, 50, "red", 1, {"red": 1}, "email:h", ["a"]),
    "outreach": OutreachDecision("id", "email:h", "r", 1, False, "", 0, 0, "sms"),
    "outreach.outcomes": OutreachOutcome("id", "email:h", "r", "sms", Status.SENT, 1, 1, "200"),
    "dead-letters": DeadLetter("touchpoints", 0, 0, "oversized", "", "", b"{", _NOW),
}
