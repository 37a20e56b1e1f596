"""What was read and not yet written, bounded by rows and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka import TopicPartition


class Record(Protocol):
    """What the backlog needs of aiokafka's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is written: when full, else `gap` seconds after the one before began.

    So a record that comes alone is written at once, and a trickle makes few parts of a table.
    """

    rows: int = 50_000
    bytes: int = 64 << 20
    gap: float = 0.2


@dataclass(slots=True)
class Batch:
    """Records by topic in order of offset, and the offsets to commit once they are written."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0

    def add(self, fetched: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """Append what one fetch returned."""
        for partition, records in fetched.items():
            if records:
                self.records.setdefault(partition.topic, []).extend(records)
                self.next_offsets[partition] = records[-1].offset + 1
                self.rows += len(records)
                self.bytes += sum(len(record.value or b"") for record in records)

    def is_full(self, limits: Limits) -> bool:
        """Whether nothing may be added before it is written."""
        return self.rows >= limits.rows or self.bytes >= limits.bytes

    def is_due(self, limits: Limits, since: float) -> bool:
        """Whether to write it now, `since` seconds after the batch before began."""
        return self.rows > 0 and (since >= limits.gap or self.is_full(limits))
