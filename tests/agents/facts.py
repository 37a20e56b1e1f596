"""Touchpoints as producers send them, drawn by hypothesis from a small world."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from schemas.decode import Rejection, decode
from schemas.outcome import JourneyStep
from streams.agents.resolve import now_utc
from streams.core.resolve import step_of

NAMES = [
    *(("customer", "A"), ("customer", "B"), ("email", "x@y.ir"), ("phone", "09121112233")),
    *(("order", "o1"), ("device", "d1"), ("device", "d2"), ("cookie", "k1"), ("cookie", "k2")),
    *(("cookie", "k3"), ("cookie", "null")),
]
CALLS: list[dict[str, Any]] = [
    {"channel": "web", "type": "page_view"},
    {"channel": "app", "type": "error"},
    {"channel": "call_center", "type": "call", "wait_seconds": 61, "resolved": False},
    {"channel": "survey", "type": "answered", "survey": "nps", "answer": 3},
    {"channel": "order", "type": "placed", "order": "o1", "amount_minor": 5, "currency": "IRR"},
    {"channel": "order", "type": "shipped", "order": "o1", "promised_at": "2026-05-02T00:00:00Z"},
    {"channel": "order", "type": "delivered", "order": "o1"},
    {"channel": "chat", "type": "message", "direction": "inbound", "text": "still waiting"},
    {"channel": "store", "type": "visit", "rating": 4, "account": "B2B-1"},
    {"channel": "web", "type": "consent_withdrawn", "purpose": "outreach"},
    {"channel": "web", "type": "login", "account": "B2B-2", "properties": {"role": "champion"}},
]

touchpoints = st.builds(
    lambda number, minute, names, call: {
        "event_id": str(UUID(int=number)),
        "occurred_at": f"2026-05-0{1 + minute % 3}T10:{minute:02}:00+03:30",
        "identifiers": [{"kind": kind, "value": value} for kind, value in names],
        **call,
    },
    st.integers(1, 10**6),
    st.integers(0, 59),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.sampled_from(CALLS),
)


def several(most: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """One to `most` touchpoints, each with an event id of its own."""
    sizes = st.integers(1, most)  # evenly, where lists left to themselves are short
    return sizes.flatmap(
        lambda size: st.lists(
            touchpoints, min_size=size, max_size=size, unique_by=lambda sent: str(sent["event_id"])
        )
    )


def step(sent: dict[str, Any]) -> JourneyStep:
    """The ledger row of a touchpoint, received at once."""
    touchpoint = decode(json.dumps(sent).encode(), now_utc())
    assert not isinstance(touchpoint, Rejection), touchpoint
    return step_of(touchpoint, 0, b"key", "IR")
