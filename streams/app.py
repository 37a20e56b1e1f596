"""The composition root of the workers: the only builder of a `faust.App`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from aiokafka.errors import KafkaError
from yarl import URL

from schemas import topics
from schemas.settings import Settings, SettingsError, load
from streams import metrics
from streams.cluster import WORKERS, BrokerUnavailable
from streams.core.dead_letter_limit import TooManyDeadLetters
from streams.delivery import (
    SESSION_SECONDS,
    OwnershipLost,
)
from streams.memory import collect_less
from streams.policy import PolicyError
from streams.probes import ask_broker, describe
from streams.recovery import StateInUse
from streams.rights import ASK_SECONDS, RIGHTS, ask_rights
from streams.rules import RulesError
from streams.serving import log_to_stderr
from streams.store import Released
from streams.transport import Chunk, ChunkTransport, credentials
from streams.worker import Worker

SWEEP_SECONDS = 60.0
_END_SECONDS = 20.0  # a worker that crashed has so long to end in order
_BUFFERED_CHUNKS = 32  # of an agent; a chunk is at most a fetch of 1 MiB
log = logging.getLogger("journey.worker")


def build(settings: Settings, worker: Worker) -> faust.App:
    """The Faust app with its agents, not yet started."""
    url = URL("kafka://" + settings.kafka.split(",")[0])
    app = faust.App(
        WORKERS,
        broker=[URL(f"kafka://{server}") for server in settings.kafka.split(",")],
        broker_credentials=credentials(settings),
        datadir=Path(tempfile.gettempdir()),  # Faust insists on one; our state is in changelogs
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        stream_wait_empty=False,  # a chunk under way at a rebalance is given up: see `revoke`
        broker_commit_interval=0.5,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=10.0,  # state that is loaded may keep the loop for seconds
        broker_request_timeout=15.0,  # a connection that is silent for so long is a dead one
        consumer_max_fetch_size=1024 * 1024,
        # A broker that has just come up may not know its topics yet: a client then forgets them,
        # and a leader of the group assigns nothing to anybody until it asks again.
        consumer_metadata_max_age_ms=5_000,
        stream_buffer_maxsize=_BUFFERED_CHUNKS,
    )
    worker.app = app
    app.transport = ChunkTransport([url], app)
    app.transport.owner = worker

    @app.on_before_configured.connect  # type: ignore[untyped-decorator]
    def _quiet(*_: Any, **__: Any) -> None:
        logging.getLogger("faust").setLevel(logging.WARNING)

    _agent(worker, "resolve", worker.on_touchpoints, topics.TOUCHPOINTS, topics.MEMBERS)
    _agent(worker, "identity", worker.on_links, topics.LINKS)
    _agent(worker, "stitch", worker.on_parts, topics.PARTS)
    _agent(worker, "accounts", worker.on_contacts, topics.CONTACTS)
    _agent(worker, "guard", worker.on_requests, topics.REQUESTS)

    @app.timer(SWEEP_SECONDS)  # type: ignore[untyped-decorator]
    async def _sweep(*_: Any) -> None:
        try:
            await worker.sweep(app.consumer.assignment())
        except KafkaError as error:
            log.warning("not everything was looked after: %s", describe(error))
        except Exception as error:
            log.exception("the sweep stops the worker")
            await _crash(app, error)

    return app


def _agent(
    worker: Worker,
    name: str,
    handle: Callable[[Chunk], Awaitable[None]],
    *sources: topics.Topic,
) -> None:
    app = worker.app
    topic = app.topic(
        *(source.name for source in sources), key_serializer="raw", value_serializer="raw"
    )

    async def run(stream: Any) -> None:
        async for event in stream.noack().events():
            chunk: Chunk = event.message.value
            if name in worker.waiting:
                continue
            try:
                with metrics.CHUNK_SECONDS.labels(name).time():
                    await handle(chunk)
            except (Released, OwnershipLost):
                metrics.CHUNK_ERRORS.labels(name, "ownership").inc()
                # Its owner reads it again. What comes after it is given up too: if that were done,
                # an offset beyond this chunk would be committed.
                log.info("%s %d was revoked meanwhile", chunk[0].topic, chunk[0].partition)
                if event.message.generation_id == app.consumer_generation_id:
                    worker.waiting.add(name)
                continue
            except TooManyDeadLetters as excess:
                metrics.CHUNK_ERRORS.labels(name, "dead_letters").inc()
                logging.disable()  # Faust's account of a crash: the one line at the end says it
                await _crash(app, excess)
                raise
            except (Exception, asyncio.CancelledError) as error:
                # Without this Faust would restart the agent after the chunk and lose it.
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                    raise  # Faust stops us; otherwise what we waited for was cancelled
                metrics.CHUNK_ERRORS.labels(name, "error").inc()
                log.exception("agent %s stops the worker", name)
                await _crash(app, error)
                raise
            metrics.RECORDS.labels(name).inc(len(chunk))
            last = chunk[-1]
            metrics.OFFSET.labels(last.topic, str(last.partition)).set(last.offset)
            worker.done[event.message.tp] = last.offset
            event.ack()

    app.agent(topic, name=name)(run)


async def _crash(app: faust.App, error: BaseException) -> None:
    """End the worker, also where an orderly end would wait for a broker that is away."""
    timer = threading.Timer(_END_SECONDS, os._exit, (1,))
    timer.daemon = True
    timer.start()
    await app.crash(error)


def main() -> int:
    """Run a worker until it is told to stop.

    Exit code 1 after a crash or where Kafka would not have us, 2 for bad settings, 3 where dead
    letters were over the limit.
    """
    log_to_stderr()
    try:
        settings = load()
        worker = Worker(settings)
        worker.recovery.start()
        address = worker.probes.serve(settings)
    except (SettingsError, PolicyError, RulesError, StateInUse) as error:
        print(f"worker: {error}", file=sys.stderr)
        return 2
    print(f"metrics on {address}", flush=True)
    # Faust would tell of a broker that is away, or refuses us, in a traceback.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(worker.reach_broker())
    except BrokerUnavailable as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    finally:
        loop.close()
    app = build(settings, worker)
    collect_less()

    class _Main(faust.Worker):  # type: ignore[misc]
        async def on_start(self) -> None:
            self.add_future(worker.probes.observe(worker.look))
            await worker.start()
            self.add_future(worker.probes.reach(lambda: ask_broker(worker.producer.client)))
            rights = worker.probes.reach(lambda: ask_rights(settings, WORKERS), RIGHTS, ASK_SECONDS)
            self.add_future(rights)
            if settings.state is not None:
                self.add_future(worker.recovery.scrub())
            if settings.standby:
                self.add_future(worker.follow())
            await super().on_start()

        async def on_shutdown(self) -> None:
            await worker.stop()

    runner = _Main(app, loglevel="WARNING", redirect_stdouts=False, quiet=True)
    try:
        runner.execute_from_commandline()
    except SystemExit:
        if worker.excess is None:
            raise
    print(f"worker: {worker.excess}", file=sys.stderr)
    return 3


if __name__ == "__main__":
    asyncio.set_event_loop_policy(None)
    sys.exit(main())
