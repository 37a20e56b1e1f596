"""The sink commits what the database has, and nothing sooner; whoever reads on has the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.topics import JOURNEYS
from sinks.backlog import Limits
from sinks.consumer import Sink
from sinks.rows import Table
from sinks.writer import InsertRefused, MemoryWriter, WriterUnavailable
from tests.sink_records import step

PARTITION = TopicPartition(JOURNEYS.name, 0)
RECORDS = 3


class Log:
    """aiokafka's consumer over one partition; `happened` is what was done to whom, in order."""

    def __init__(self, happened: list[str]) -> None:
        self.happened, self.position = happened, 0
        self._paused: set[TopicPartition] = set()

    async def getmany(
        self, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        await asyncio.sleep(0)
        if self._paused or self.position == RECORDS:
            return {}
        at, self.position = self.position, self.position + 1
        value = msgspec.json.encode(step("cookie:1", at, at))
        record = ConsumerRecord(JOURNEYS.name, 0, at, 0, 0, b"k", value, None, 1, 2, ())
        return {PARTITION: [record]}

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.happened.append(f"committed {offsets[PARTITION]}")

    def assignment(self) -> Collection[TopicPartition]:
        return {PARTITION}

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused.difference_update(partitions)

    def paused(self) -> Collection[TopicPartition]:
        return set(self._paused)


class Database(MemoryWriter):
    """Gives those answers to the first inserts, then takes what comes."""

    def __init__(self, happened: list[str], *answers: Exception) -> None:
        super().__init__()
        self.happened, self.answers = happened, list(answers)

    def insert(self, table: Table, columns: Sequence[list[Any]]) -> int:
        if self.answers:
            self.happened.append("refused")
            raise self.answers.pop(0)
        rows = super().insert(table, columns)
        self.happened.append(f"wrote {len(self.stored[table.name])}")
        return rows


def run(*answers: Exception) -> list[str]:
    happened: list[str] = []
    sink = Sink(Log(happened), Database(happened, *answers), Limits(rows=1, gap=0.0))

    async def until_committed() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(sink.run(stop))
        while not task.done() and f"committed {RECORDS}" not in happened:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        stop.set()
        await task

    asyncio.run(asyncio.wait_for(until_committed(), 20))
    return happened


def test_each_batch_is_written_before_its_offsets_are_committed() -> None:
    happened = run()
    for at, what in enumerate(happened):
        verb, number = what.split()
        if verb == "committed":
            assert f"wrote {number}" in happened[:at]
    assert happened[-1] == f"committed {RECORDS}"


def test_nothing_is_committed_while_the_database_is_away() -> None:
    happened = run(WriterUnavailable("away"), WriterUnavailable("away"))
    assert happened[:3] == ["refused", "refused", "wrote 1"]
    assert f"wrote {RECORDS}" in happened


def test_what_the_database_refuses_for_good_is_not_committed() -> None:
    happened: list[str] = []
    sink = Sink(Log(happened), Database(happened, InsertRefused("touchpoints", "no")))
    with pytest.raises(InsertRefused):
        asyncio.run(asyncio.wait_for(sink.run(asyncio.Event()), 20))
    assert happened == ["refused"]
