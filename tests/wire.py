"""Touchpoints as producers send them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid5

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def touchpoint(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A page view of 22 November 2026; a change to None leaves the field out."""
    given = {
        "event_id": str(uuid5(NAMESPACE_OID, f"touchpoint {number}")),
        "occurred_at": "2026-11-22T08:30:00+03:30",
        "channel": "web",
        "type": "page_view",
        "identifiers": [{"kind": "cookie", "value": "c-1"}],
    } | changes
    return {name: value for name, value in given.items() if value is not None}
