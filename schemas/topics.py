"""Every topic: name, key, partitions, and how long Kafka keeps what is in it.

Kafka deletes and compacts whole segments that are closed, so how long a record lives has a bound:

- a topic with retention: `retention_days` + `SEGMENT_DAYS` after it was written;
- a compacted topic: an old value `COMPACTION_DAYS` after a newer one or a tombstone of its key was
  written; the tombstone, whose key still names somebody, 2 * `COMPACTION_DAYS` + `TOMBSTONE_DAYS`.

A segment closes when a record comes and it is `SEGMENT_DAYS` old, so compaction's bound holds where
a partition is written to at least that often; else it begins with the next record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SEGMENT_DAYS: Final = 1
COMPACTION_DAYS: Final = 7
TOMBSTONE_DAYS: Final = 1
_DAY_MS: Final = 86_400_000
# An owner puts right within a minute what a zombie wrote; until then both records must stand.
_REPAIR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as we declare it. `partitions` None means the setting's number."""

    name: str
    key: str
    compacted: bool = False
    partitions: int | None = None
    retention_days: int = 7
    broker_time: bool = False  # else records carry their producers' clocks, and expire by them

    def config(self, replication: int) -> dict[str, str]:
        """Broker configuration at so many replicas, names as in Kafka's documentation.

        From three replicas on, a majority has to have a record before it counts as written.
        """
        common = {
            "compression.type": "producer",
            "min.insync.replicas": str(replication // 2 + 1 if replication >= 3 else 1),
            "segment.ms": str(SEGMENT_DAYS * _DAY_MS),
        }
        if self.compacted:
            return common | {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": str(_REPAIR_MS),
                "max.compaction.lag.ms": str(COMPACTION_DAYS * _DAY_MS),
                "delete.retention.ms": str(TOMBSTONE_DAYS * _DAY_MS),
            }
        return common | {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_days * _DAY_MS),
            "message.timestamp.type": "LogAppendTime" if self.broker_time else "CreateTime",
        }

    def clean_days(self) -> int:
        """Days after which a record that was replaced, erased or too old is off the log's disk."""
        if self.compacted:
            return SEGMENT_DAYS + 2 * COMPACTION_DAYS + TOMBSTONE_DAYS
        return SEGMENT_DAYS + self.retention_days


TOUCHPOINTS: Final = Topic("touchpoints", key="anchor", broker_time=True)
DEAD_LETTERS: Final = Topic("dead-letters", key="letter's id", retention_days=30)
JOURNEYS: Final = Topic("journeys", key="anchor")
ANCHORS: Final = Topic("anchors", key="anchor", compacted=True)
LINKS: Final = Topic("identity.links", key="pair of identifiers", compacted=True, partitions=1)
MEMBERS: Final = Topic("identity.members", key="identifier", compacted=True)
PARTS: Final = Topic("parts", key="customer NUL anchor", compacted=True)
CUSTOMERS: Final = Topic("customers", key="customer", compacted=True)
CONTACTS: Final = Topic("accounts.contacts", key="account NUL customer", compacted=True)
ACCOUNTS: Final = Topic("accounts", key="account", compacted=True)
REQUESTS: Final = Topic("outreach.requests", key="customer", partitions=1)
OUTREACH: Final = Topic("outreach", key="customer NUL decision", compacted=True, partitions=1)
OUTCOMES: Final = Topic(
    "outreach.outcomes", key="customer NUL decision", compacted=True, partitions=1
)
MESSAGES: Final = Topic("outreach.messages", key="customer")

TOPICS: Final = (
    TOUCHPOINTS,
    DEAD_LETTERS,
    JOURNEYS,
    ANCHORS,
    LINKS,
    MEMBERS,
    PARTS,
    CUSTOMERS,
    CONTACTS,
    ACCOUNTS,
    REQUESTS,
    OUTREACH,
    OUTCOMES,
    MESSAGES,
)
