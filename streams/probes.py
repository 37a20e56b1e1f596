"""What a process tells of itself over HTTP: /metrics, and /live and /ready for its supervisor.

Served from a thread of its own, so that an event loop that stands still is seen.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, make_server

from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest
from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from schemas.settings import PREFIX, Settings, SettingsError
from streams import metrics
from streams.core.progress import Lane, Progress

KAFKA: Final = "kafka"
_EVERY: Final = 1.0  # seconds between looks
_REACH_EVERY: Final = 5.0  # seconds between questions to the broker
log = logging.getLogger("journey.probes")

# Lanes, and what there is to do before the process is ready
Look = Callable[[], tuple[Mapping[str, Lane], Mapping[str, str]]]
Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Probes:
    """The progress of this process, told to its supervisor, to Prometheus and to the log."""

    def __init__(self, stuck_seconds: float) -> None:
        self.progress = Progress(stuck_seconds, time.monotonic())
        metrics.STUCK.set_function(lambda: float(bool(self.progress.stuck(time.monotonic()))))

    def serve(self, settings: Settings) -> str:
        """Answer HTTP from a thread until the process ends; the address. SettingsError if taken."""
        host, port = settings.metrics_host, settings.metrics_port
        try:
            server = make_server(host, port, self.application(), ThreadingWSGIServer, _Quiet)
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"{PREFIX}METRICS_HOST={host}, {PREFIX}METRICS_PORT={port}: {error}; "
                "choose another port, or 0 for any that is free"
            ) from None
        threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
        return f"{host}:{server.server_port}"

    def application(self) -> Application:
        """The WSGI application: JSON that says why on /live and /ready, metrics elsewhere."""
        page: Application = make_wsgi_app()

        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            route = environ["PATH_INFO"]
            if route not in {"/live", "/ready"}:
                return page(environ, start)
            now = time.monotonic()
            stuck = self.progress.stuck(now)
            why = stuck if route == "/live" else self.progress.unready(now)
            start(
                "503 Service Unavailable" if why else "200 OK",
                [("Content-Type", "application/json")],
            )
            told = {"live": not stuck, "why": why}
            return [json.dumps(told if route == "/live" else {"ready": not why} | told).encode()]

        return answer

    def away(self, dependency: str, why: str) -> None:
        """An attempt to reach a dependency failed. `why` must not name customers."""
        if self.progress.away(dependency, why, time.monotonic()):
            metrics.OUTAGE.labels(dependency).set(1)
            log.warning("%s is away, waiting for it: %s", dependency, why)

    def back(self, dependency: str) -> None:
        """An attempt to reach a dependency succeeded."""
        seconds = self.progress.back(dependency, time.monotonic())
        metrics.OUTAGE.labels(dependency).set(0)
        if seconds is not None:
            log.warning("%s is back after %.1f s", dependency, seconds)

    async def observe(self, look: Look) -> None:
        """Look every second, for ever; what `look` raises is logged, and looked at again."""
        while True:
            try:
                lanes, unready = look()
            except Exception:
                log.exception("progress cannot be told")
            else:
                self.progress.observe(lanes, unready, time.monotonic())
            await asyncio.sleep(_EVERY)

    async def reach(
        self,
        ask: Callable[[], Awaitable[object]],
        dependency: str = KAFKA,
        every: float = _REACH_EVERY,
    ) -> None:
        """Ask the broker something every few seconds, for ever."""
        while True:
            try:
                await ask()
            except (KafkaError, OSError) as error:
                self.away(dependency, describe(error))
            else:
                self.back(dependency)
            await asyncio.sleep(every)


async def ask_broker(client: Any) -> None:
    """One round trip of an AIOKafkaClient to any broker, a new connection where one is dead.

    Raises KafkaError.
    """
    await client.send(client.get_random_node(), MetadataRequest([]))


def describe(error: BaseException) -> str:
    """An error of a client in a few words, its type first."""
    kind, told = type(error).__name__, str(error)
    return (told if told.startswith(kind) else f"{kind}: {told}")[:200].rstrip(": ")


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: a line for every question would be most of the log."""
