"""A Kafka of lists: partitions, offsets, compaction, and a worker that dies or stands still.

A disk of lists, too: what a worker had stored at some moment of the past may be what it finds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from schemas.settings import Settings
from streams.changelog import Changelog, Merge
from streams.delivery import Outgoing, Written
from streams.recovery import Recovery
from streams.store import Changes, Checkpoint, MemoryStore, Store
from streams.worker import Worker

Place = tuple[str, int]  # topic, partition


class Crashed(Exception):
    """The worker died while it delivered."""


@dataclass(slots=True)
class Record:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Broker:
    def __init__(self) -> None:
        self.logs: dict[Place, list[Record]] = defaultdict(list)
        self.ends: dict[Place, int] = defaultdict(int)

    def append(self, record: Outgoing) -> int:
        place = record.topic, record.partition
        offset = self.ends[place]
        self.ends[place] += 1
        self.logs[place].append(Record(*place, offset, 0, record.key, record.value))
        return offset

    def take(self, records: list[Outgoing]) -> list[Written]:
        """Append records, in order within a partition."""
        ordered = sorted(records, key=lambda record: (record.topic, record.partition))
        return [Written(r.topic, r.partition, self.append(r), 1) for r in ordered]

    def read(self, place: Place, position: int, most: int | None = None) -> list[Record]:
        return [record for record in self.logs[place] if record.offset >= position][:most]

    def drop_tombstones(self, place: Place) -> None:
        """What compaction does once tombstones are old enough."""
        self.compact(place, self.ends[place])
        self.logs[place] = [r for r in self.logs[place] if r.value is not None]

    def compact(self, place: Place, before: int) -> None:
        """Keep the last record of each key, with its offset; what is too young stays as it is."""
        last = {r.key: r.offset for r in self.logs[place] if r.offset < before}
        self.logs[place] = [
            r for r in self.logs[place] if r.offset >= before or last[r.key] == r.offset
        ]


class Reader:
    """What `streams.changelog.replay` uses of a consumer."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._position = 0

    def assign(self, tps: Iterable[Any]) -> None:
        (self._tp,) = tps

    def seek(self, tp: Any, offset: int) -> None:
        self._position = offset

    async def beginning_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        return {tp: self._broker.ends[tp.topic, tp.partition] for tp in tps}

    async def position(self, tp: Any) -> int:
        return self._position

    async def getmany(self, tp: Any, timeout_ms: int) -> dict[Any, list[Record]]:
        place = tp.topic, tp.partition
        found = self._broker.read(place, self._position, 3)
        self._position = found[-1].offset + 1 if found else self._broker.ends[place]
        return {tp: found}


@dataclass(slots=True, eq=False)
class Disk:
    """What stores wrote, each write on top of the last."""

    versions: dict[Place, list[tuple[dict[bytes, bytes], Checkpoint]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def fall_back(self, chance: Random) -> None:
        """The machine loses power: every store is as it was some writes ago, or gone."""
        for versions in self.versions.values():
            del versions[chance.randint(0, len(versions)) :]


class DiskOfLists(MemoryStore):
    """A store that its disk outlives."""

    lasting = True

    def __init__(self, versions: list[tuple[dict[bytes, bytes], Checkpoint]]) -> None:
        super().__init__()
        self._versions = versions
        if versions:
            values, checkpoint = versions[-1]
            super().write(values, checkpoint)

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        super().write(changes, checkpoint)
        self._versions.append((dict(self._values), checkpoint))

    def clear(self) -> None:
        super().clear()
        self._versions.clear()


def changelog(broker: Broker, topic: str, merge: Merge) -> Changelog:
    """A changelog of one partition, its store in memory."""

    async def deliver(records: list[Outgoing]) -> list[Written]:
        return broker.take(records)

    async def read(start: int, before: int | None) -> AsyncIterator[Any]:
        found = broker.read((topic, 0), start)
        yield [r for r in found if before is None or r.offset < before], before or 0

    return Changelog(topic, 0, MemoryStore(), merge, read, deliver)


class RecoveryOfLists(Recovery):
    """Recovery from a disk of lists, from none where the worker has none."""

    def __init__(self, disk: Disk | None, connect: Any, deliver: Any) -> None:
        super().__init__(None, connect, deliver)
        self._disk = disk

    def _open(self, topic: str, partition: int) -> Store:
        if self._disk is None:
            return MemoryStore()
        return DiskOfLists(self._disk.versions[topic, partition])


class ListWorker(Worker):
    """The real worker, reading and writing lists.

    With `fuse` n, the delivery after n more breaks off: of each partition's records some arrive.
    With `freeze` n, the delivery after n more stands still until `thaw`.
    """

    def __init__(
        self, settings: Settings, broker: Broker, partitions: int, disk: Disk | None = None
    ) -> None:
        super().__init__(settings)
        self.broker = broker
        self.partitions = partitions
        self.disk = disk
        self.recovery = RecoveryOfLists(disk, self._consumer, self.deliver)
        self.announced = dict[int, int]()  # of `identity.links`, next offsets when it started
        self.fuse: int | None = None
        self.freeze: int | None = None
        self.frozen, self.thaw = asyncio.Event(), asyncio.Event()
        self.chance = Random(0)

    async def deliver(self, records: list[Outgoing]) -> list[Written]:
        if self.freeze is not None:
            self.freeze -= 1
            if self.freeze == -1:
                self.frozen.set()
                await self.thaw.wait()
        if self.fuse is not None:
            self.fuse -= 1
        if self.fuse == -1:
            records = self._some(records)
        written = self.broker.take(records)
        if self.fuse == -1:
            raise Crashed
        return written

    async def _announced(self, partition: int) -> int:
        return self.announced.get(partition, 0)

    def _some(self, records: list[Outgoing]) -> list[Outgoing]:
        batches: dict[Place, list[Outgoing]] = defaultdict(list)
        for record in records:
            batches[record.topic, record.partition].append(record)
        return [r for b in batches.values() for r in b[: self.chance.randint(0, len(b))]]

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        yield Reader(self.broker)
