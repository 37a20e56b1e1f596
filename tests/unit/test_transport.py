"""Chunks: one Faust message for all a fetch returned of a partition, with the last offset."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.changelog import Partitions
from streams.store import Released
from streams.transport import ChunkConsumer, ChunkTransport


def record(offset: int) -> Any:
    return SimpleNamespace(
        topic="touchpoints",
        partition=3,
        offset=offset,
        timestamp=1_700_000_000_000 + offset,
        timestamp_type=0,
        headers=(),
        key=b"k",
        value=b"v%d" % offset,
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=2,
    )


@pytest.fixture
def consumer() -> ChunkConsumer:
    """One without a broker: what it turns fetches into needs none."""
    found = object.__new__(ChunkConsumer)
    found.app = SimpleNamespace(consumer_generation_id=1)
    return found


def test_a_chunk_is_one_message_that_acknowledges_its_last_offset(consumer: ChunkConsumer) -> None:
    chunk = [record(7), record(8), record(11)]
    message = consumer._to_message(TP("touchpoints", 3), chunk)
    assert (message.topic, message.partition, message.offset) == ("touchpoints", 3, 11)
    assert message.value is chunk
    assert message.key is None


def test_a_fetch_is_one_chunk_for_each_partition_that_has_records(
    consumer: ChunkConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, none = TP("touchpoints", 0), TP("touchpoints", 1), TP("parts", 0)
    fetched = {one: [record(1), record(2)], two: [record(5)], none: []}

    async def getmany(_consumer: object, _active: object, _timeout: float) -> object:
        return fetched

    monkeypatch.setattr(driver.Consumer, "_getmany", getmany)
    found = asyncio.run(consumer._getmany(None, 0.1))
    assert found == {one: [fetched[one]], two: [fetched[two]]}


@pytest.mark.parametrize("ends", [[0, 40], [136, 198], [0, 1, 7], [5]])
def test_the_newest_chunk_done_is_what_is_committed(
    consumer: ChunkConsumer, ends: list[int]
) -> None:
    tp = TP("touchpoints", 0)
    consumer._acked, consumer._acked_index = defaultdict(list), defaultdict(set)
    for end in ends:
        consumer._acked[tp].append(end)
        consumer._acked_index[tp].add(end)
        assert consumer._new_offset(tp) == end + 1
        assert consumer._new_offset(tp) is None


def test_the_transport_builds_chunk_consumers() -> None:
    assert ChunkTransport.Consumer is ChunkConsumer


class State:
    """A partition's state, as far as `Partitions` knows."""

    def __init__(self, load: int) -> None:
        self.load, self.closed = load, False

    def close(self) -> None:
        self.closed = True


def loads(release: asyncio.Event, loaded: list[int]) -> Callable[[int, int | None], Any]:
    async def load(partition: int, _before: int | None) -> State:
        loaded.append(partition)
        await release.wait()
        if len(loaded) == 1 and partition == 9:
            raise OSError("the broker is away")
        return State(len(loaded))

    return load


def test_several_who_ask_for_a_partition_get_the_same_state() -> None:
    async def ask() -> None:
        release, loaded = asyncio.Event(), list[int]()
        partitions = Partitions(loads(release, loaded), State.close)
        partitions.own(1)
        asking = [asyncio.create_task(partitions.get(1)) for _ in range(2)]
        await asyncio.sleep(0)
        release.set()
        one, other = await asyncio.gather(*asking)
        assert one is other is await partitions.get(1)
        assert loaded == [1]

    asyncio.run(ask())


def test_a_partition_revoked_while_it_loads_is_loaded_anew_when_it_returns() -> None:
    async def ask() -> None:
        release, loaded = asyncio.Event(), list[int]()
        partitions = Partitions(loads(release, loaded), State.close)
        partitions.own(1)
        early = asyncio.create_task(partitions.get(1))
        await asyncio.sleep(0)  # the load is made
        await asyncio.sleep(0)  # and begins
        partitions.drop(1)
        with pytest.raises(Released):  # at once: a rebalance waits for nothing that is read
            await early
        partitions.own(1)
        release.set()
        late = await partitions.get(1)
        assert loaded == [1, 1]
        partitions.drop(1)
        assert late.closed

    asyncio.run(ask())


def test_state_is_not_loaded_before_its_partition_is_owned_nor_kept_after() -> None:
    async def ask() -> None:
        release, loaded = asyncio.Event(), list[int]()
        release.set()
        partitions = Partitions(loads(release, loaded), State.close)
        with pytest.raises(Released):
            await partitions.get(1)
        partitions.own(1)
        await partitions.get(1)
        partitions.drop(1)
        with pytest.raises(Released):  # such as a sweep that slept through a rebalance
            await partitions.get(1)
        assert loaded == [1]

    asyncio.run(ask())


def test_a_load_that_failed_is_tried_again() -> None:
    async def ask() -> None:
        release, loaded = asyncio.Event(), list[int]()
        release.set()
        partitions = Partitions(loads(release, loaded), State.close)
        partitions.own(9)
        with pytest.raises(OSError, match="away"):
            await partitions.get(9)
        assert (await partitions.get(9)).load == 2

    asyncio.run(ask())
