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

    def config(self) -> dict[str, str]:
        """Broker configuration, names as in Kafka's documentation.

        A log is cleaned by whole segments that are closed, so they are closed every day.
        """
        if self.compacted:
            return {
                "cleanup.policy": "compact",
                "segment.ms": str(_DAY_MS),
                "max.compaction.lag.ms": str(_DAY_MS),
                "delete.retention.ms": str(_DAY_MS),
            }
        return {
            "cleanup.policy": "delete",
            "segment.ms": str(_DAY_MS),
            "retention.ms": str(self.retention_days * _DAY_MS),
        }

    def clean_days(self) -> int:
        """Days after which a record that was replaced, erased or too old is off the log's disk.

        Of a compacted topic: a day until its segment is closed, one until it is compacted, one
        that its tombstone stays, and as long again until that is compacted. One to spare. It
        takes a record written to the partition meanwhile: Kafka closes segments as it writes.
        """
        return 6 if self.compacted else self.retention_days + 2


_DAY_MS: Final = 86_400_000
TOUCHPOINTS: Final = Topic("touchpoints", key="anchor")
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
