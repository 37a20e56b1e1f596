"""A fetch that a rebalance interrupts: what it returns is newly assigned, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.topics import JOURNEYS
from sinks.consumer import Sink
from sinks.writer import MemoryWriter

PARTITION = TopicPartition(JOURNEYS.name, 0)


class Interrupted:
    """aiokafka's consumer where a rebalance begins while `getmany` waits.

    It calls the listener, and returns the first records of the new assignment.
    """

    sink: Sink

    async def getmany(
        self, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        await self.sink.on_partitions_revoked([PARTITION])
        await self.sink.on_partitions_assigned([PARTITION])
        record = ConsumerRecord(JOURNEYS.name, 0, 0, 0, 0, b"k", b"{}", None, 1, 2, ())
        return {PARTITION: [record]}

    def paused(self) -> Collection[TopicPartition]:
        return ()


def test_what_a_fetch_returns_after_a_rebalance_is_kept() -> None:
    consumer = Interrupted()
    consumer.sink = Sink(consumer, MemoryWriter())
    asyncio.run(consumer.sink._fetch(inserting=False))
    assert consumer.sink.held == 1
