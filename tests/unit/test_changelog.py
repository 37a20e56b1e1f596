"""The owner of a changelog notices what others write to it, and has the last word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from streams.changelog import Changelog
from streams.delivery import Outgoing, Written
from streams.store import MemoryStore
from streams.transport import Record
from tests.agents.broker import Broker

PLACE = ("anchors", 0)


def owner(broker: Broker) -> Changelog:
    """A changelog of which the greater value of a key counts."""

    async def read(start: int, before: int | None) -> AsyncIterator[tuple[Sequence[Record], int]]:
        end = broker.ends[PLACE] if before is None else before
        yield [one for one in broker.read(PLACE, start) if one.offset < end], end

    async def deliver(records: list[Outgoing]) -> list[Written]:
        return broker.take(records)

    return Changelog(*PLACE, MemoryStore(), max, read, deliver)


def last(broker: Broker) -> dict[bytes | None, bytes | None]:
    """What compaction would leave."""
    return {record.key: record.value for record in broker.logs[PLACE]}


def test_what_a_zombie_wrote_before_an_append_is_merged_and_written_over() -> None:
    async def live() -> None:
        broker = Broker()
        log = owner(broker)
        await log.append([(b"a", b"2"), (b"b", b"1")])
        for key, value in ((b"a", b"1"), (b"b", b"2")):
            broker.append(Outgoing(*PLACE, key, value))
        assert await log.append([(b"c", b"1")]) == {b"a", b"b"}
        assert (log.get(b"a"), log.get(b"b")) == (b"2", b"2")
        assert last(broker)[b"a"] == b"1"
        await log.restate()
        assert last(broker) == {b"a": b"2", b"b": b"2", b"c": b"1"}

    asyncio.run(live())


def test_what_a_zombie_wrote_after_it_is_found_by_an_audit() -> None:
    async def live() -> None:
        broker = Broker()
        log = owner(broker)
        await log.append([(b"a", b"2")])
        broker.append(Outgoing(*PLACE, b"a", b"1"))
        assert await log.audit() == {b"a"}
        await log.restate()
        assert last(broker) == {b"a": b"2"}
        assert await log.audit() == set()

    asyncio.run(live())
