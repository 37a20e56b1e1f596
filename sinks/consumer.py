"""The sink: topics to ClickHouse. Run it with `python -m sinks.consumer`."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from schemas.settings import Settings, SettingsError, load
from sinks.backlog import Batch, Limits
from sinks.clickhouse import connect
from sinks.decode import UndecodableRecord, decode
from sinks.rows import IDENTITY_MEMBERS, TOPIC_TABLES, TOUCHPOINTS
from sinks.writer import ClickHouseWriter, Writer, WriterError, WriterUnavailable
from streams import metrics
from streams.cluster import SINK, BrokerUnavailable
from streams.core.progress import Lane
from streams.memory import collect_less
from streams.probes import KAFKA, Probes, ask_broker, describe
from streams.retry import backoff
from streams.rights import ASK_SECONDS, RIGHTS, ask_rights, lacking
from streams.security import client_options, refusal
from streams.serving import log_to_stderr, until_signalled

# How long a fetch may wait: with nothing held, during an insert, and with all paused.
_QUIET: Final = 0.2
_INSERTING: Final = 0.02
_PAUSED: Final = 0.1
_END_SECONDS: Final = 10.0  # of the batch under way, once the sink is to stop
CLICKHOUSE: Final = "clickhouse"
_UNAUTHORIZED: Final = (TopicAuthorizationFailedError, GroupAuthorizationFailedError)
# Pause after a reload of the identities: a multiple of its duration, and seconds at least.
_RELOAD_SHARE: Final = 20
_RELOAD_PAUSE: Final = 0.5
log = logging.getLogger("journey.sink")


class Sink(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer and one writer. Offsets are committed after every insert of their batch.

    While a batch is written the next one fills; when that is full too, partitions are paused.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        writer: Writer,
        limits: Limits | None = None,
        probes: Probes | None = None,
    ) -> None:
        self.assigned = asyncio.Event()
        self._consumer = consumer
        self._writer = writer
        self._probes = probes or Probes(stuck_seconds=30.0)
        self._writing = False
        self._written = 0  # batches
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
        with suppress(TimeoutError):  # what is not committed by then is read again
            async with asyncio.timeout(_END_SECONDS):
                if task is not None:
                    await task
                if self._backlog.rows:
                    await self._deliver(self._take(time.monotonic()), stop)

    @property
    def held(self) -> int:
        """Records read and not yet given to the writer."""
        return self._backlog.rows

    def look(self) -> tuple[Mapping[str, Lane], Mapping[str, str]]:
        """What waits and what moved, and what there is to do before the sink is ready.

        A partition may wait unread while the backlog is full: then the writer has to move.
        """
        full = self._backlog.is_full(self._limits)
        lanes = {"writer": Lane(self._writing or self._backlog.rows > 0, self._written)}
        subscription = self._consumer._subscription.subscription
        assignment = subscription.assignment if subscription else None
        if assignment is None:
            lanes["group"] = Lane(waiting=True, mark=self._revocations)
            return lanes, {"group": "has not given partitions"}
        metrics.LAG.clear()
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            position = state.position if state.has_valid_position else None
            read = position is not None and state.highwater == position
            lanes[f"{tp.topic} {tp.partition}"] = Lane(not (read or full), position)
            if position is not None and state.highwater is not None:
                lag = metrics.LAG.labels(tp.topic, str(tp.partition))
                lag.set(max(0, state.highwater - position))
        return lanes, {}

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
        self._writing = True
        try:
            for attempt in count():
                async with self._at_work:
                    if revocations != self._revocations:
                        return
                    pause = await self._try(batch, attempt)
                if pause is None or stop.is_set():
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
        finally:
            self._writing = False

    async def _try(self, batch: Batch, attempt: int) -> float | None:
        """Write and commit; where the writer is unavailable, the seconds before the next try."""
        try:
            await asyncio.to_thread(write, batch, self._writer)
        except WriterUnavailable as error:
            pause = error.retry_after + backoff(attempt)
            log.warning("%s; trying again in %.1f s", error, pause)
            self._probes.away(CLICKHOUSE, error.reason)
            return pause
        self._probes.back(CLICKHOUSE)
        self._stale |= any(TOPIC_TABLES[topic] is IDENTITY_MEMBERS for topic in batch.records)
        await self._commit(batch)
        self._written += 1
        return None

    async def _commit(self, batch: Batch) -> None:
        owned = self._consumer.assignment()
        offsets = {p: offset for p, offset in batch.next_offsets.items() if p in owned}
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("not committed, so these rows will be written again: %s", error)
            return
        for tp, offset in offsets.items():
            metrics.OFFSET.labels(tp.topic, str(tp.partition)).set(offset - 1)

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


async def serve(settings: Settings, stop: asyncio.Event, probes: Probes, address: str) -> None:
    """Run the sink of these settings until `stop`; waits for Kafka where it is away.

    Raises BrokerUnavailable where Kafka answers and would not have us, LoginRefused where
    ClickHouse does and never had us.
    """
    url = settings.clickhouse.get_secret_value()
    # Silence must be an outage before it counts as being stuck.
    writer = ClickHouseWriter(connect(url, send_receive_timeout=settings.stuck_seconds / 2))
    await asyncio.to_thread(writer.log_in)
    consumer, sink = await _join(settings, stop, probes, writer)
    tasks = [
        asyncio.create_task(work)
        for work in (
            probes.observe(sink.look),
            probes.reach(lambda: ask_broker(consumer._client)),
            probes.reach(lambda: ask_rights(settings, SINK), RIGHTS, ASK_SECONDS),
            _announce(sink, address),
        )
    ]
    try:
        await sink.run(stop)
    finally:
        for task in tasks:
            task.cancel()
        await consumer.stop()
        writer.close()


async def _join(
    settings: Settings, stop: asyncio.Event, probes: Probes, writer: Writer
) -> tuple[AIOKafkaConsumer, Sink]:
    """A consumer that has found the cluster, or has not when it is to stop."""
    starting = asyncio.create_task(probes.observe(lambda: ({}, {"group": "is not joined yet"})))
    try:
        for attempt in count():
            consumer = _consumer(settings)
            sink = Sink(consumer, writer, probes=probes)
            consumer.subscribe(list(TOPIC_TABLES), listener=sink)
            try:
                await consumer.start()
                lack = await asyncio.to_thread(lacking, settings, SINK)
                if lack is not None:
                    await consumer.stop()
                    raise BrokerUnavailable(lack)
            except KafkaError as error:
                await consumer.stop()
                refused = await asyncio.to_thread(refusal, settings)
                if refused is None and isinstance(error, _UNAUTHORIZED):
                    refused = await asyncio.to_thread(lacking, settings, SINK)
                if refused is not None:
                    raise BrokerUnavailable(refused) from error
                probes.away(KAFKA, describe(error))
            else:
                probes.back(KAFKA)
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), backoff(attempt))
            if stop.is_set():
                break
        return consumer, sink
    finally:
        starting.cancel()


def _consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=SINK,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A broker waits this long for members that are gone before it starts new ones.
        session_timeout_ms=6_000,
        rebalance_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        request_timeout_ms=15_000,  # a connection that is silent for so long is a dead one
        fetch_max_wait_ms=250,
        max_partition_fetch_bytes=4 << 20,
        metadata_max_age_ms=5_000,  # a broker just come up may not know its topics: ask again soon
        **client_options(settings),
    )


async def _announce(sink: Sink, address: str) -> None:
    await sink.assigned.wait()
    print(f"sink ready, metrics on {address}", flush=True)


def main() -> int:
    """Run the sink until SIGTERM: 0; 1 where it had to stop by itself, 2 for bad settings."""
    log_to_stderr()
    try:
        settings = load()
        probes = Probes(settings.stuck_seconds)
        address = probes.serve(settings)
    except SettingsError as error:
        print(f"sink: {error}", file=sys.stderr)
        return 2
    collect_less()
    try:
        asyncio.run(until_signalled(lambda stop: serve(settings, stop, probes, address)))
    except (BrokerUnavailable, UndecodableRecord, WriterError) as error:
        fault = str(error)
    else:
        return 0
    print(f"sink: {fault}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
