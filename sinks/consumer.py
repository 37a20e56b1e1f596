"""The sink: topics to ClickHouse. Run it with `python -m sinks.consumer`."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError
from prometheus_client import start_http_server

from schemas.settings import Settings, SettingsError, load
from sinks.backlog import Batch, Limits
from sinks.clickhouse import connect
from sinks.decode import UndecodableRecord, decode
from sinks.rows import IDENTITY_MEMBERS, TOPIC_TABLES, TOUCHPOINTS
from sinks.writer import ClickHouseWriter, Writer, WriterError, WriterUnavailable
from streams import metrics
from streams.cluster import SINK
from streams.memory import collect_less
from streams.security import client_options, why_unreachable

# How long a fetch may wait: with nothing held, during an insert, and with all paused.
_QUIET: Final = 0.2
_INSERTING: Final = 0.02
_PAUSED: Final = 0.1
_LONGEST_BACKOFF: Final = 10.0
# Pause after a reload of the identities: a multiple of its duration, and seconds at least.
_RELOAD_SHARE: Final = 20
_RELOAD_PAUSE: Final = 0.5
log = logging.getLogger("journey.sink")


class Sink(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer and one writer. Offsets are committed after every insert of their batch.

    While a batch is written the next one fills; when that is full too, partitions are paused.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, writer: Writer, limits: Limits | None = None
    ) -> None:
        self.assigned = asyncio.Event()
        self._consumer = consumer
        self._writer = writer
        self._limits = limits or Limits()
        self._backlog = Batch()
        self._began = 0.0  # when the last batch began, by the monotonic clock
        self._revocations = 0
        self._at_work = asyncio.Lock()  # the writer, and the commit after it
        self._stale = False  # identities written that readers do not see yet
        self._reload_after = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then write and commit what was read.

        Raises UndecodableRecord, SchemaDrift and InsertRefused; nothing of their batch is
        committed.
        """
        task: asyncio.Task[None] | None = None
        while not stop.is_set():
            await self._fetch(inserting=task is not None)
            if task is not None and task.done():
                task.result()
                task = None
            now = time.monotonic()
            if task is None and self._backlog.is_due(self._limits, now - self._began):
                task = asyncio.create_task(self._deliver(self._take(now), stop))
            elif task is None and self._stale and now >= self._reload_after:
                task = asyncio.create_task(self._reload())
        if task is not None:
            await task
        if self._backlog.rows:
            await self._deliver(self._take(time.monotonic()), stop)

    @property
    def held(self) -> int:
        """Records read and not yet given to the writer."""
        return self._backlog.rows

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let the insert under way commit, and forget the rest: its next owner reads it again."""
        async with self._at_work:
            self._revocations += 1
            self._backlog = Batch()
        log.info("revoked %d partitions", len(list(revoked)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        log.info("assigned %d partitions", len(list(assigned)))
        self.assigned.set()

    async def _fetch(self, inserting: bool) -> None:
        """Fetch into the backlog. Waiting is fetching too, or the group would think us dead."""
        full = self._backlog.is_full(self._limits)
        if full:
            self._consumer.pause(*self._consumer.assignment())
        elif paused := self._consumer.paused():
            self._consumer.resume(*paused)
        if full or inserting:
            patience = _PAUSED if full else _INSERTING
        elif self._backlog.rows:
            patience = max(0.001, self._began + self._limits.gap - time.monotonic())
        else:
            patience = _QUIET
        fetched = await self._consumer.getmany(
            timeout_ms=round(patience * 1000), max_records=self._limits.rows
        )
        # A call that a rebalance interrupts returns what is newly assigned, never the old: whatever
        # comes after `on_partitions_revoked` is ours, and would not be fetched again.
        self._backlog.add(fetched)
        metrics.SINK_BUFFER_ROWS.set(self._backlog.rows)

    def _take(self, now: float) -> Batch:
        batch, self._backlog = self._backlog, Batch()
        self._began = now
        return batch

    async def _deliver(self, batch: Batch, stop: asyncio.Event) -> None:
        """Write a batch and commit its offsets; try again while the writer is unavailable.

        Gives up where the partitions were revoked or the sink is to stop: what is not committed
        is read again.
        """
        revocations = self._revocations
        for attempt in count():
            async with self._at_work:
                if revocations != self._revocations:
                    return
                try:
                    await asyncio.to_thread(write, batch, self._writer)
                except WriterUnavailable as error:
                    pause = error.retry_after + backoff(attempt)
                    log.warning("%s; trying again in %.1f s", error, pause)
                else:
                    self._stale |= any(
                        TOPIC_TABLES[topic] is IDENTITY_MEMBERS for topic in batch.records
                    )
                    await self._commit(batch)
                    return
            if stop.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    async def _commit(self, batch: Batch) -> None:
        owned = self._consumer.assignment()
        offsets = {p: offset for p, offset in batch.next_offsets.items() if p in owned}
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("not committed, so these rows will be written again: %s", error)

    async def _reload(self) -> None:
        """Show readers the identities written; what cannot be reloaded now is tried again."""
        async with self._at_work:
            self._stale = False
            began = time.monotonic()
            try:
                await asyncio.to_thread(self._writer.refresh)
            except WriterUnavailable as error:
                self._stale = True
                log.warning("%s", error)
        took = time.monotonic() - began
        self._reload_after = time.monotonic() + max(_RELOAD_PAUSE, took * _RELOAD_SHARE)


def write(batch: Batch, writer: Writer) -> None:
    """Insert a batch, one block for each table; blocking. Raises what `decode` and `insert` do."""
    for topic, table in TOPIC_TABLES.items():
        records = batch.records.get(topic)
        if not records:
            continue
        structs = decode(topic, records)
        began = time.monotonic()
        try:
            rows = writer.insert(table, table.rows(structs))
        except WriterError as error:
            metrics.INSERT_ERRORS.labels(table.name, error.kind).inc()
            raise
        metrics.INSERT_SECONDS.labels(table.name).observe(time.monotonic() - began)
        metrics.ROWS_INSERTED.labels(table.name).inc(rows)
        if table is TOUCHPOINTS:
            now = time.time()
            metrics.END_TO_END_SECONDS.observe_all(
                [now - step.received_ms / 1000 for step in structs]
            )


def backoff(attempt: int) -> float:
    """Seconds before another try, drawn from 0 to 0.2, 0.4, … 10 (full jitter, Brooker 2015)."""
    return random.uniform(0, min(_LONGEST_BACKOFF, 0.2 * 2 ** min(attempt, 10)))  # noqa: S311


async def serve(settings: Settings, stop: asyncio.Event, metrics_port: int) -> None:
    """Run the sink of these settings until `stop`. Raises KafkaConnectionError at the start."""
    writer = ClickHouseWriter(connect(settings.clickhouse.get_secret_value()))
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=SINK,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A broker waits this long for members that are gone before it starts new ones.
        session_timeout_ms=6_000,
        rebalance_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        fetch_max_wait_ms=250,
        max_partition_fetch_bytes=4 << 20,
        metadata_max_age_ms=5_000,  # a broker just come up may not know its topics: ask again soon
        **client_options(settings),
    )
    sink = Sink(consumer, writer)
    consumer.subscribe(list(TOPIC_TABLES), listener=sink)
    announcement = asyncio.create_task(_announce(sink, metrics_port))
    try:
        await consumer.start()
        await sink.run(stop)
    finally:
        announcement.cancel()
        await consumer.stop()
        writer.close()


async def _announce(sink: Sink, metrics_port: int) -> None:
    await sink.assigned.wait()
    print(f"sink ready, metrics on 127.0.0.1:{metrics_port}", flush=True)


async def _run(settings: Settings, metrics_port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await serve(settings, stop, metrics_port)


def main() -> int:
    """Run the sink until SIGTERM: 0; 1 where it had to stop by itself, 2 for bad settings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # we say what it says in one line
    try:
        settings = load()
    except SettingsError as error:
        print(f"sink: {error}", file=sys.stderr)
        return 2
    collect_less()
    server, _ = start_http_server(settings.metrics_port, addr="127.0.0.1")
    try:
        asyncio.run(_run(settings, server.server_port))
    except KafkaConnectionError:
        fault = why_unreachable(settings)
    except (UndecodableRecord, WriterError) as error:
        fault = str(error)
    else:
        return 0
    print(f"sink: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
