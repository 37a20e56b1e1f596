"""A Kafka of lists: partitions, offsets, compaction, and a worker that dies as it delivers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from schemas.settings import Settings
from streams.app import Worker
from streams.delivery import Outgoing

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

    def append(self, record: Outgoing) -> None:
        place = record.topic, record.partition
        offset = self.ends[place]
        self.ends[place] += 1
        self.logs[place].append(Record(*place, offset, 0, record.key, record.value))

    def read(self, place: Place, position: int, most: int | None = None) -> list[Record]:
        return [record for record in self.logs[place] if record.offset >= position][:most]

    def drop_tombstones(self, place: Place) -> None:
        """What compaction does once tombstones are old enough."""
        self.compact(place)
        self.logs[place] = [r for r in self.logs[place] if r.value is not None]

    def compact(self, place: Place) -> None:
        """Keep the last record of each key, with its offset."""
        last = {record.key: record.offset for record in self.logs[place]}
        self.logs[place] = [r for r in self.logs[place] if last[r.key] == r.offset]


class Reader:
    """What `streams.changelog.replay` uses of a consumer."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._position = 0

    def assign(self, tps: Iterable[Any]) -> None:
        (self._tp,) = tps

    async def seek_to_beginning(self, tp: Any) -> None:
        self._position = 0

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


class ListWorker(Worker):
    """The real worker, reading and writing lists.

    With `fuse` n, the delivery after n more breaks off: of each partition's records some arrive.
    """

    def __init__(self, settings: Settings, broker: Broker, partitions: int) -> None:
        super().__init__(settings)
        self.broker = broker
        self.partitions = partitions
        self.fuse: int | None = None
        self.chance = Random(0)

    async def deliver(self, records: list[Outgoing]) -> None:
        if self.fuse is not None:
            self.fuse -= 1
        if self.fuse == -1:
            records = self._some(records)
        for record in records:
            self.broker.append(record)
        if self.fuse == -1:
            raise Crashed

    def _some(self, records: list[Outgoing]) -> list[Outgoing]:
        batches: dict[Place, list[Outgoing]] = defaultdict(list)
        for record in records:
            batches[record.topic, record.partition].append(record)
        return [r for b in batches.values() for r in b[: self.chance.randint(0, len(b))]]

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        yield Reader(self.broker)
