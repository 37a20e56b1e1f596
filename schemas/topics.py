"""Every topic: name, key, partitions, retention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as we declare it. `partitions` None means the setting's number."""

    name: str
    key: str
    compacted: bool = False
    partitions: int | None = None
    retention_days: int = 7
    broker_time: bool = False  # else records carry their producers' clocks, and expire by them

    def config(self) -> dict[str, str]:
        """Broker configuration, names as in Kafka's documentation."""
        if self.compacted:
            return {"cleanup.policy": "compact"}
        stamp = {"message.timestamp.type": "LogAppendTime"} if self.broker_time else {}
        kept = {"retention.ms": str(self.retention_days * 86_400_000)}
        return {"cleanup.policy": "delete", **kept, **stamp}


TOUCHPOINTS: Final = Topic("touchpoints", key="anchor", broker_time=True)
DEAD_LETTERS: Final = Topic("dead-letters", key="letter's id", retention_days=30)
JOURNEYS: Final = Topic("journeys", key="anchor")
ANCHORS: Final = Topic("anchors", key="anchor", compacted=True)
LINKS: Final = Topic("identity.links", key="pair of identifiers", compacted=True, partitions=1)
MEMBERS: Final = Topic("identity.members", key="identifier", compacted=True)
PARTS: Final = Topic("parts", key="customer NUL anchor", compacted=True)
CUSTOMERS: Final = Topic("customers", key="customer", compacted=True)
OUTREACH: Final = Topic("outreach", key="customer")

TOPICS: Final = (
    TOUCHPOINTS,
    DEAD_LETTERS,
    JOURNEYS,
    ANCHORS,
    LINKS,
    MEMBERS,
    PARTS,
    CUSTOMERS,
    OUTREACH,
)
