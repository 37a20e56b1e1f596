"""Records of our topics for tests of the sink and of queries."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from aiokafka import ConsumerRecord

from schemas.outcome import JourneyStep


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
