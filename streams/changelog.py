"""The changelog of a partition: what its store mirrors, and how its owner keeps it right.

A worker that lost a partition while it stood still does not know, and what it had sent may land
behind what the owner wrote since. Nobody can stop it, so the owner notices: each acknowledgement
says where a write landed, and where that is not where the last one ended, somebody else wrote. What
it wrote is merged, and what is then kept is sent again, so that it stands last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import topics
from schemas.outcome import erased_by
from streams import metrics
from streams.delivery import Outgoing, Written
from streams.store import Checkpoint, Released, Store
from streams.transport import Record

# Opens a consumer without a group; closed when the block ends.
Connect = Callable[[], AbstractAsyncContextManager[AIOKafkaConsumer]]
# Records, and the offset after all that was read.
Read = Callable[[int, int | None], AsyncIterator[tuple[Sequence[Record], int]]]
# Of a key's value known and one that comes later in the log, the value that counts.
Merge = Callable[[bytes, bytes], bytes]
Deliver = Callable[[list[Outgoing]], Awaitable[list[Written]]]


class ChangelogReset(Exception):
    """A topic ends before what we wrote to it: it was made anew, or its broker lost records."""


async def replay(
    connect: Connect, topic: str, partition: int, start: int = 0, before: int | None = None
) -> AsyncIterator[tuple[Sequence[Record], int]]:
    """Records of a partition from an offset to its present end, or before an offset.

    Comes with the offset after them. The end may be overrun by what arrives meanwhile. (Tansu
    reports as the end the first offset of the last batch, plus one; whole batches are read, so
    that is enough.)
    """
    tp = TopicPartition(topic, partition)
    async with connect() as consumer:
        # Asked before a fetch is under way: Tansu answers only when that has waited for records.
        end = (await consumer.end_offsets([tp]))[tp]
        if before is not None:
            end = min(end, before)
        consumer.assign([tp])
        consumer.seek(tp, start)
        while (position := await consumer.position(tp)) < end:
            fetched = await consumer.getmany(tp, timeout_ms=1000)
            records = fetched.get(tp, [])
            if before is not None:
                records = [record for record in records if record.offset < before]
            position = await consumer.position(tp)
            yield records, position if before is None else min(position, before)


async def end_of(connect: Connect, topic: str, partition: int) -> int:
    """The offset after a partition's last record, as its broker reports it."""
    tp = TopicPartition(topic, partition)
    async with connect() as consumer:
        end: int = (await consumer.end_offsets([tp]))[tp]
        return end


class Changelog:
    """One partition of a compacted topic as its store holds it: of each key, what counts.

    Only its owner appends; `parts` and `identity.links` have many writers, so there the owner
    learns what it reads. `end` is the offset up to which everything is known, `stale` the keys
    whose last record in the topic is not the one kept.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        store: Store,
        merge: Merge,
        read: Read,
        deliver: Deliver,
        incarnation: str = "",
    ) -> None:
        self.topic, self.partition, self.store = topic, partition, store
        known = store.checkpoint
        self.end = known.offset if known is not None else 0
        self.stale: dict[bytes, None] = {
            key.encode(): None for key in (known.stale if known is not None else ())
        }
        self._merge, self._read, self._deliver = merge, read, deliver
        self._incarnation = incarnation
        self._turn = asyncio.Lock()

    def get(self, key: bytes) -> bytes | None:
        """The value that counts; Released where the partition is not ours any more."""
        return self.store.get(key)

    def learn(self, records: Iterable[Record], end: int = 0) -> dict[bytes, bytes | None]:
        """Take records that were read, those known already excepted; the keys' values since.

        `end`: everything before it was read, whatever the last record's offset.
        """
        kept: dict[bytes, bytes | None] = {}
        for record in records:
            if record.offset >= self.end and record.key is not None:
                self._take(kept, record.key, record.value)
                self.end = record.offset + 1
        self.end = max(self.end, end)
        self._write(kept)
        return kept

    async def append(self, pairs: Sequence[tuple[bytes, bytes | None]]) -> set[bytes]:
        """Write as the owner; the keys that somebody else has written meanwhile, merged by now.

        Raises Released before anything is sent, and ChangelogReset.
        """
        async with self._turn:
            if self.store.closed:
                raise Released
            written = await self._deliver(
                [Outgoing(self.topic, self.partition, key, value) for key, value in pairs]
            )
            foreign: set[bytes] = set()
            done = 0
            for run in written:
                if run.offset < self.end:
                    raise ChangelogReset(
                        f"{self.topic} {self.partition}: written at {run.offset}, "
                        f"where {self.end} was expected"
                    )
                if run.offset > self.end:
                    foreign |= await self._catch_up(run.offset)
                kept: dict[bytes, bytes | None] = {}
                for key, value in pairs[done : done + run.records]:
                    if key in foreign:
                        self._take(kept, key, value)
                    else:
                        kept[key] = value
                        self.stale.pop(key, None)
                done += run.records
                self.end = run.offset + run.records
                self._write(kept)
            return foreign

    async def audit(self) -> set[bytes]:
        """Look for what somebody else has written; the keys, merged by now."""
        async with self._turn:
            return await self._catch_up(None)

    async def restate(self) -> None:
        """Send what is kept again, until it stands last."""
        if self.stale:
            metrics.RESTATED.labels(self.topic).inc(len(self.stale))
        while self.stale:
            await self.append([(key, self.get(key)) for key in self.stale])

    async def resend(self) -> None:
        """Send what is kept again where others write too: it comes back as input."""
        if self.stale:
            metrics.RESTATED.labels(self.topic).inc(len(self.stale))
            await self._deliver(
                [Outgoing(self.topic, self.partition, key, self.get(key)) for key in self.stale]
            )
            self.stale.clear()

    def age(self) -> float:
        """Seconds since the checkpoint says that everything was known; 0 where there is none."""
        known = self.store.checkpoint
        return time.time() - known.at_ms / 1000 if known is not None else 0.0

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    async def _catch_up(self, before: int | None) -> set[bytes]:
        foreign: set[bytes] = set()
        async for records, position in self._read(self.end, before):
            foreign |= self.learn(records, position).keys()
            metrics.FOREIGN.labels(self.topic).inc(len(records))
        self.end = max(self.end, before or 0)
        self._write({})
        return foreign

    def _take(self, kept: dict[bytes, bytes | None], key: bytes, value: bytes | None) -> None:
        named = self.topic == topics.LINKS.name  # elsewhere what an order erases has tombstones
        if named and value is None and (erased := set(erased_by(key.decode()))):
            # An order to forget identifiers: compaction may have left what came before it.
            for each in (*self.store.keys(), *kept):
                if not erased.isdisjoint(each.decode().split("\0")):
                    kept[each] = None
                    self.stale.pop(each, None)
            return
        known = kept[key] if key in kept else self.store.get(key)
        if value is not None and known is not None and known != value:
            kept[key] = self._merge(known, value)
        else:
            kept[key] = value
        if kept[key] == value:
            self.stale.pop(key, None)
        else:
            self.stale[key] = None

    def _write(self, kept: dict[bytes, bytes | None]) -> None:
        stale = [key.decode() for key in self.stale]
        now_ms = time.time_ns() // 1_000_000
        self.store.write(kept, Checkpoint(self.end, self._incarnation, now_ms, stale))


S = TypeVar("S")


async def tail(
    connect: Connect, topic: str, partition: int, before: int, count: int
) -> AsyncIterator[Record]:
    """Those of the last `count` records before an offset that the broker still has."""
    tp = TopicPartition(topic, partition)
    async with connect() as consumer:
        first = (await consumer.beginning_offsets([tp]))[tp]
        consumer.assign([tp])
        consumer.seek(tp, max(first, before - count))
        while await consumer.position(tp) < before:
            fetched = await consumer.getmany(tp, timeout_ms=1000)
            for record in fetched.get(tp, ()):
                if record.offset < before:
                    yield record


class Partitions(Generic[S]):
    """One value of state per partition owned, loaded when first asked for.

    `load` takes the partition and the offset of the chunk about to be processed (None: read to
    the end). Dropping a partition closes its state: another worker may own it now. State of a
    partition that is not owned is never loaded: kept until it is, it would be old by then.
    """

    def __init__(
        self,
        load: Callable[[int, int | None], Coroutine[Any, Any, S]],
        close: Callable[[S], None] = lambda _: None,
    ) -> None:
        self._load, self._close = load, close
        self._loads: dict[int, asyncio.Future[S]] = {}
        self._owned: set[int] = set()

    def own(self, partition: int) -> None:
        """From now on the partition is ours."""
        self._owned.add(partition)

    async def get(self, partition: int, before: int | None = None) -> S:
        """The partition's state; several who ask at a time get the same.

        Raises Released where it is not ours, or not any more once it would be loaded.
        """
        if partition not in self._owned:
            raise Released
        load = self._loads.get(partition)
        if load is None:
            load = self._loads[partition] = asyncio.ensure_future(self._load(partition, before))
            load.add_done_callback(lambda done: self._forget_failed(partition, done))
        try:
            return await asyncio.shield(load)
        except asyncio.CancelledError:
            if load.cancelled():
                raise Released from None
            raise

    def has(self, partition: int) -> bool:
        """Whether the partition's state was asked for."""
        return partition in self._loads

    @property
    def loading(self) -> set[int]:
        """Partitions whose state is being read."""
        return {partition for partition, load in self._loads.items() if not load.done()}

    def drop(self, partition: int) -> None:
        """Forget a partition that was revoked; loading its state ends."""
        self._owned.discard(partition)
        load = self._loads.pop(partition, None)
        if load is not None and not load.cancel():
            self._close_loaded(load)

    def _forget_failed(self, partition: int, load: asyncio.Future[S]) -> None:
        failed = load.cancelled() or load.exception() is not None
        if failed and self._loads.get(partition) is load:
            del self._loads[partition]

    def _close_loaded(self, load: asyncio.Future[S]) -> None:
        if not load.cancelled() and load.exception() is None:
            self._close(load.result())
