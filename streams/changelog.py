"""State of the partitions a worker owns, recovered from a compacted topic when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams import metrics
from streams.transport import Record

S = TypeVar("S")
# Opens a consumer without a group; closed when the block ends.
Connect = Callable[[], AbstractAsyncContextManager[AIOKafkaConsumer]]


async def replay(
    connect: Connect, topic: str, partition: int, before: int | None = None
) -> AsyncIterator[Record]:
    """Records of a partition from its beginning to its present end, or before an offset.

    The end may be overrun by what arrives meanwhile. (Tansu reports as the end the first offset
    of the last batch, plus one; whole batches are read, so that is enough.)
    """
    tp = TopicPartition(topic, partition)
    async with connect() as consumer:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        if before is not None:
            end = min(end, before)
        while await consumer.position(tp) < end:
            fetched = await consumer.getmany(tp, timeout_ms=1000)
            metrics.RECOVERED.inc(len(fetched.get(tp, ())))
            for record in fetched.get(tp, ()):
                if before is None or record.offset < before:
                    yield record


async def tail(
    connect: Connect, topic: str, partition: int, before: int, count: int
) -> AsyncIterator[Record]:
    """Those of the last `count` records before an offset that the broker still has."""
    tp = TopicPartition(topic, partition)
    async with connect() as consumer:
        consumer.assign([tp])
        first = (await consumer.beginning_offsets([tp]))[tp]
        consumer.seek(tp, max(first, before - count))
        while await consumer.position(tp) < before:
            fetched = await consumer.getmany(tp, timeout_ms=1000)
            for record in fetched.get(tp, ()):
                if record.offset < before:
                    yield record


class Partitions(Generic[S]):
    """One value of state per partition owned, loaded when first asked for.

    `load` takes the partition and the offset of the chunk about to be processed (None: read to
    the end). Dropping a partition forgets its state: another worker may own it now.
    """

    def __init__(self, load: Callable[[int, int | None], Coroutine[Any, Any, S]]) -> None:
        self._load = load
        self._loads: dict[int, asyncio.Future[S]] = {}

    async def get(self, partition: int, before: int | None = None) -> S:
        """The partition's state; several who ask at a time get the same."""
        load = self._loads.get(partition)
        if load is None:
            load = self._loads[partition] = asyncio.ensure_future(self._load(partition, before))
            load.add_done_callback(lambda done: self._forget_failed(partition, done))
        return await asyncio.shield(load)

    @property
    def loading(self) -> set[int]:
        """Partitions whose state is being read."""
        return {partition for partition, load in self._loads.items() if not load.done()}

    def drop(self, partition: int) -> None:
        """Forget a partition that was revoked, also where its state is still being loaded."""
        self._loads.pop(partition, None)

    def _forget_failed(self, partition: int, load: asyncio.Future[S]) -> None:
        failed = load.cancelled() or load.exception() is not None
        if failed and self._loads.get(partition) is load:
            del self._loads[partition]
