"""The sink between a real broker and a real database."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from urllib.request import urlopen

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.settings import Settings
from sinks.backlog import Limits
from sinks.clickhouse import connect, prepare
from sinks.consumer import Sink
from sinks.rows import TABLES, TOPIC_TABLES
from sinks.writer import MemoryWriter, WriterUnavailable
from streams.cluster import SINK, administer, declare
from tests.sink_records import ONE_OF_EACH, step

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(broker_port: int, clickhouse_url: str) -> Settings:
    prepare(clickhouse_url)
    found = Settings(
        kafka=f"127.0.0.1:{broker_port}", clickhouse=clickhouse_url, partitions=2, metrics_port=0
    )
    declare(found)
    return found


async def produce(settings: Settings, records: Iterable[tuple[str, int, object]]) -> None:
    """Send (topic, partition, value) triples; bytes go as they are."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        for topic, partition, value in records:
            raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
            await producer.send(topic, raw, key=b"k", partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


def committed(settings: Settings) -> dict[tuple[str, int], int]:
    """Next offset of each (topic, partition) that the sink's group has committed."""
    with administer(settings) as admin:
        found = admin.list_group_offsets(SINK).get(SINK, {})
    return {(p.topic, p.partition): at.offset for p, at in found.items() if at.offset > 0}


class Process:
    """`python -m sinks.consumer`, ready."""

    def __init__(self, settings: Settings) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sinks.consumer"],
            env={
                **os.environ,
                "JOURNEY_KAFKA": settings.kafka,
                "JOURNEY_CLICKHOUSE": settings.clickhouse.get_secret_value(),
                "JOURNEY_METRICS_PORT": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()

    def metrics(self) -> str:
        address = self.ready.rpartition(" ")[2].strip()
        with urlopen(f"http://{address}/metrics") as answer:
            return str(answer.read().decode())

    def ended(self) -> tuple[int, str]:
        """Exit code and what it said, once it ends by itself."""
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def stop(self) -> tuple[int, str]:
        """The same, after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()


async def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_one_record_of_each_topic_becomes_one_row_of_each_table(settings: Settings) -> None:
    asyncio.run(produce(settings, [(topic, 0, value) for topic, value in ONE_OF_EACH.items()]))
    sink = Process(settings)
    assert sink.ready.startswith("sink ready, metrics on 127.0.0.1:")
    client = connect(settings.clickhouse.get_secret_value())

    def stored() -> dict[str, int]:
        return {t.name: client.execute(f"SELECT count() FROM {t.name}")[0][0] for t in TABLES}

    one_each = dict.fromkeys((t.name for t in TABLES), 1)
    asyncio.run(eventually(lambda: stored() == one_each))
    asyncio.run(eventually(lambda: client.execute("SELECT customer FROM ledger") == [("email:h",)]))
    page = sink.metrics()
    assert 'journey_rows_inserted_total{table="touchpoints"} 1.0' in page
    assert "journey_end_to_end_seconds_count 1.0" in page
    code, said = sink.stop()
    assert code == 0, said
    assert committed(settings) == {(topic, 0): 1 for topic in TOPIC_TABLES}


def test_records_on_their_way_at_sigterm_are_neither_lost_nor_left_uncommitted(
    settings: Settings,
) -> None:
    sink = Process(settings)
    count = 3_000
    asyncio.run(
        produce(settings, (("journeys", n % 2, step("cookie:1", n, n)) for n in range(count)))
    )
    assert sink.stop()[0] == 0
    client = connect(settings.clickhouse.get_secret_value())
    at_stop = client.execute("SELECT count() FROM touchpoints")[0][0]
    assert sum(committed(settings).values()) == at_stop
    second = Process(settings)
    asyncio.run(
        eventually(
            lambda: client.execute("SELECT uniqExact(event_id) FROM touchpoints") == [(count,)]
        )
    )
    assert second.stop()[0] == 0
    assert client.execute("SELECT count() FROM touchpoints") == [(count,)]


def test_a_record_that_is_not_ours_stops_the_sink_and_is_not_committed(settings: Settings) -> None:
    asyncio.run(
        produce(settings, [("outreach", 0, ONE_OF_EACH["outreach"]), ("outreach", 0, b'{"a":1}')])
    )
    code, said = Process(settings).ended()
    assert code == 1
    assert "sink: outreach partition 0 offset 1 is not a OutreachDecision: " in said
    assert committed(settings) == {}


def test_a_table_without_a_column_stops_the_sink_with_its_name(settings: Settings) -> None:
    connect(settings.clickhouse.get_secret_value()).execute("ALTER TABLE outreach DROP COLUMN why")
    asyncio.run(produce(settings, [("outreach", 0, ONE_OF_EACH["outreach"])]))
    code, said = Process(settings).ended()
    assert code == 1
    assert "sink: outreach.why does not exist: run `journey setup`" in said


@asynccontextmanager
async def sinking(
    settings: Settings, writer: MemoryWriter, limits: Limits
) -> AsyncIterator[tuple[Sink, asyncio.Event, asyncio.Task[None]]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=SINK,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        rebalance_timeout_ms=4_000,
        heartbeat_interval_ms=200,
    )
    sink = Sink(consumer, writer, limits)
    consumer.subscribe(list(TOPIC_TABLES), listener=sink)
    await consumer.start()
    stop = asyncio.Event()
    task = asyncio.create_task(sink.run(stop))
    try:
        yield sink, stop, task
    finally:
        stop.set()
        await task
        await consumer.stop()


def test_an_outage_holds_a_bounded_number_of_rows_and_loses_none(settings: Settings) -> None:
    writer = MemoryWriter()
    writer.outage = WriterUnavailable("away", retry_after=0.01)
    limits = Limits(rows=100, gap=0.01)
    count = 1_000

    async def run() -> int:
        held = 0
        async with sinking(settings, writer, limits) as (sink, _, _):
            await sink.assigned.wait()
            await produce(
                settings, (("journeys", n % 2, step("cookie:1", n, n)) for n in range(count))
            )
            for _ in range(20):
                await asyncio.sleep(0.05)
                held = max(held, sink.held)
            assert writer.stored == {}
            assert await asyncio.to_thread(committed, settings) == {}
            writer.outage = None
            await eventually(lambda: len(writer.stored.get("touchpoints", [])) == count)
        return held

    # One batch under way and one that fills, each with what one fetch may add.
    assert 0 < asyncio.run(run()) <= 4 * limits.rows
    assert sum(committed(settings).values()) == count


def test_a_second_sink_joining_in_an_outage_takes_over_without_loss(settings: Settings) -> None:
    first, second = MemoryWriter(), MemoryWriter()
    limits = Limits(rows=50, gap=0.01)
    count = 1_000

    def ids() -> set[str]:
        rows = first.stored.get("touchpoints", []) + second.stored.get("touchpoints", [])
        return {str(row[2]) for row in rows}

    async def run() -> None:
        async with sinking(settings, first, limits) as (sink, _, _):
            await sink.assigned.wait()
            first.outage = WriterUnavailable("away")
            await produce(
                settings, (("journeys", n % 2, step("cookie:1", n, n)) for n in range(count))
            )
            await eventually(lambda: sink.held > 0)
            async with sinking(settings, second, limits) as (other, _, _):
                await other.assigned.wait()
                await eventually(lambda: len(ids()) >= count // 2)
                first.outage = None
                await eventually(lambda: len(ids()) == count)

    asyncio.run(run())
    assert len(second.stored["touchpoints"]) >= count // 2
    assert sum(committed(settings).values()) == count
