"""The dispatcher: decisions of outreach to endpoints. Run it with `python -m sinks.outreach`.

It reads `outreach` and writes what became of each decision to `outreach.outcomes`, before and after
every attempt. Offsets are committed past what is done.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.settings import PREFIX, Settings, SettingsError, load
from sinks.dispatch.channels import open_channels
from sinks.dispatch.dispatcher import Dispatcher, UndecodableDecision
from sinks.dispatch.endpoints import Endpoints, EndpointsError, load_endpoints
from sinks.dispatch.journal import KEYED, Journal
from sinks.dispatch.journal import load as load_known
from streams.cluster import DISPATCH, BrokerUnavailable
from streams.delivery import connect
from streams.memory import collect_less
from streams.probes import KAFKA, Probes, ask_broker, describe
from streams.retry import backoff
from streams.security import client_options, refusal
from streams.serving import log_to_stderr, until_signalled


async def serve(
    settings: Settings, endpoints: Endpoints, stop: asyncio.Event, probes: Probes, address: str
) -> None:
    """Dispatch until `stop`; waits for Kafka where it is away.

    Raises BrokerUnavailable where Kafka answers and would not have us.
    """
    starting = asyncio.create_task(probes.observe(lambda: ({}, {"group": "is not joined yet"})))
    async with AsyncExitStack() as closing:
        try:
            joined = await _join(settings, endpoints, stop, probes, closing)
        finally:
            starting.cancel()
        if joined is None:
            return
        consumer, dispatcher = joined
        tasks = [
            asyncio.create_task(work)
            for work in (
                probes.observe(dispatcher.look),
                probes.reach(lambda: ask_broker(consumer._client)),
                _announce(dispatcher, address),
            )
        ]
        try:
            await dispatcher.run(stop)
        finally:
            for task in tasks:
                task.cancel()


async def _join(
    settings: Settings,
    endpoints: Endpoints,
    stop: asyncio.Event,
    probes: Probes,
    closing: AsyncExitStack,
) -> tuple[AIOKafkaConsumer, Dispatcher] | None:
    """A consumer in its group, and its dispatcher; None where it is to stop before."""
    for attempt in count():
        try:
            async with AsyncExitStack() as opening:
                producer = await opening.enter_async_context(connect(settings))
                counts = {
                    topic.name: len(await producer.partitions_for(topic.name)) for topic in KEYED
                }
                closing.push_async_callback(opening.pop_all().aclose)
            break
        except KafkaError as error:
            await _away(settings, probes, error)
        if await _stopped(stop, backoff(attempt)):
            return None
    journal = Journal(producer, counts, probes)
    channels = await open_channels(endpoints, journal, closing)
    read_known = partial(load_known, lambda: _reader(settings))
    for attempt in count():
        consumer = _consumer(settings)
        dispatcher = Dispatcher(consumer, channels, journal, read_known, probes)
        consumer.subscribe([topics.OUTREACH.name], listener=dispatcher)
        try:
            await consumer.start()
        except KafkaError as error:
            await consumer.stop()
            await _away(settings, probes, error)
        else:
            probes.back(KAFKA)
            closing.push_async_callback(consumer.stop)
            return consumer, dispatcher
        if await _stopped(stop, backoff(attempt)):
            return None
    raise AssertionError


async def _away(settings: Settings, probes: Probes, error: KafkaError) -> None:
    refused = await asyncio.to_thread(refusal, settings)
    if refused is not None:
        raise BrokerUnavailable(refused) from error
    probes.away(KAFKA, describe(error))


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()


def _consumer(settings: Settings, group: str | None = DISPATCH) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        # A broker waits this long for members that are gone before it starts new ones.
        session_timeout_ms=6_000,
        rebalance_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        request_timeout_ms=15_000,  # a connection that is silent for so long is a dead one
        fetch_max_wait_ms=50,
        metadata_max_age_ms=5_000,  # a broker just come up may not know its topics: ask again soon
        **client_options(settings),
    )


@asynccontextmanager
async def _reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = _consumer(settings, group=None)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()


async def _announce(dispatcher: Dispatcher, address: str) -> None:
    await dispatcher.assigned.wait()
    print(f"dispatch ready, metrics on {address}", flush=True)


def endpoints_file(settings: Settings) -> Path:
    """The file of the settings; SettingsError where there is none."""
    if settings.endpoints_file is None:
        raise SettingsError(
            f"{PREFIX}ENDPOINTS_FILE is not set: name a file as docs/dispatch.md has it"
        )
    return settings.endpoints_file


def main() -> int:
    """Dispatch until SIGTERM: 0; 1 where it had to stop by itself, 2 for bad settings."""
    log_to_stderr()
    try:
        settings = load()
        endpoints = load_endpoints(endpoints_file(settings))
        probes = Probes(settings.stuck_seconds)
        address = probes.serve(settings)
    except (SettingsError, EndpointsError) as error:
        print(f"dispatch: {error}", file=sys.stderr)
        return 2
    collect_less()
    try:
        asyncio.run(until_signalled(lambda stop: serve(settings, endpoints, stop, probes, address)))
    except (BrokerUnavailable, UndecodableDecision, KafkaError) as error:
        print(f"dispatch: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
