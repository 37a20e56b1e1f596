"""How every customer stands at a moment: stored parts, united and scored by the pure core."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from clickhouse_driver import Client

from analytics.customers import StoredCustomer, customers
from schemas.state import Part
from streams.core.health import Health, score
from streams.core.journey import unite
from streams.core.policy import Policy
from streams.core.stitch import counted

_decode = msgspec.json.Decoder(Part).decode


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer as of a moment. Touchpoints and health have a resolution of one UTC day."""

    customer: str
    identifiers: tuple[str, ...]
    touchpoints: int
    health: Health

    def as_json(self) -> dict[str, object]:
        """The documented shape of a line of `journey customers --json`."""
        return {
            "customer": self.customer,
            "identifiers": list(self.identifiers),
            "touchpoints": self.touchpoints,
            "health": self.health.score,
            "sentiment": self.health.sentiment,
            "distress": self.health.distress,
        }


def standing(stored: StoredCustomer, as_of_ms: int, policy: Policy) -> Standing:
    """One customer as of a moment (epoch ms)."""
    part = unite(_decode(text) for text in stored.parts.values())
    return Standing(
        stored.customer, stored.identifiers, counted(part, as_of_ms), score(part, as_of_ms, policy)
    )


def standings(client: Client, as_of_ms: int, policy: Policy) -> Iterator[Standing]:
    """Every customer seen by then, in order of id."""
    for stored in customers(client):
        found = standing(stored, as_of_ms, policy)
        if found.touchpoints:
            yield found
