"""Alertmanager's webhook to requests for the guard. Run it with `python -m alerts.receiver`.

It keeps nothing. An alert told again, or by two Alertmanagers, asks the guard the same questions,
which it decides once; whoever came to be affected meanwhile is found the next time.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from hmac import compare_digest
from itertools import islice
from typing import Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from alerts.requests import requests_of
from alerts.webhook import WebhookError, firing
from schemas import topics
from schemas.outcome import OutreachRequest
from schemas.settings import PREFIX, Settings, SettingsError, load
from sinks.clickhouse import connect as connect_ledger
from sinks.refusals import explain
from streams import metrics
from streams.core.alerts import Alert, rules_for
from streams.core.progress import Lane
from streams.delivery import Outgoing, connect, deliver
from streams.policy import PolicyError, load_policy
from streams.probes import KAFKA, Probes, ask_broker, describe
from streams.rules import RulesError, load_rules
from streams.serving import log_to_stderr, until_signalled

ROUTE: Final = "/alerts"
CLICKHOUSE: Final = "clickhouse"
_MOST_BYTES: Final = 4 << 20
_BATCH: Final = 500  # requests that are sent at once
_PATIENCE: Final = 10.0  # seconds for the broker to take them, or the ledger to say something
_REACH_EVERY: Final = 5.0
_END_SECONDS: Final = 2.0
_OUTCOMES: Final = ("taken", "unauthorized", "malformed", "unavailable", "failed")
_ASK: Final = "SELECT 1 FROM touchpoints LIMIT 1"
_encode: Final = msgspec.json.Encoder().encode
T = TypeVar("T")
log = logging.getLogger("journey.receiver")


class Unavailable(Exception):
    """A dependency is away, so the webhook is to be sent again; the message is one line."""


class Answer(NamedTuple):
    """What a webhook is answered with, and what it counts as."""

    status: int
    outcome: str  # one of `_OUTCOMES`
    body: Mapping[str, object]
    headers: Mapping[str, str] | None = None


class Receiver:
    """Answers webhooks one after the other: 2xx once Kafka has every request they lead to."""

    def __init__(self, settings: Settings, probes: Probes) -> None:
        if settings.receiver_token is None:
            raise SettingsError(
                f"{PREFIX}RECEIVER_TOKEN is not set: set a secret, and the same as "
                "authorization.credentials of Alertmanager's webhook"
            )
        self._token = settings.receiver_token.get_secret_value().encode()
        self._settings, self._probes = settings, probes
        self._ruleset = load_rules(settings.rules_file)
        self._policy = load_policy(settings.health_file)
        self._turn = asyncio.Lock()
        self._connections = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._in_hand = self._moved = 0
        for outcome in _OUTCOMES:  # at nought, so that Prometheus sees the first
            metrics.WEBHOOKS.labels(outcome)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one webhook, as documented in docs/outreach.md."""
        self._in_hand += 1
        metrics.WEBHOOKS_WAITING.set(self._in_hand)
        outcome = "failed"
        try:
            with metrics.WEBHOOK_SECONDS.time():
                answer = await self._answer(request)
            outcome = answer.outcome
        finally:
            self._in_hand -= 1
            self._moved += 1
            metrics.WEBHOOKS_WAITING.set(self._in_hand)
            metrics.WEBHOOKS.labels(outcome).inc()
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    async def _answer(self, request: web.Request) -> Answer:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if not compare_digest(given, b"Bearer " + self._token):
            asks = {"WWW-Authenticate": "Bearer"}
            return Answer(401, "unauthorized", {"error": "the bearer token is not ours"}, asks)
        try:
            alerts = firing(await request.read())
        except WebhookError as error:
            return Answer(400, "malformed", {"error": str(error)})
        try:
            async with self._turn:
                asked = [await self._ask(alert) for alert in alerts]
        except Unavailable as error:
            log.warning("a webhook is to be sent again: %s", error)
            return Answer(503, "unavailable", {"error": str(error)})
        return Answer(200, "taken", {"alerts": len(alerts), "requests": sum(asked)})

    async def _ask(self, alert: Alert) -> int:
        """Ask the guard for every customer whom an alert is about; how many requests that took."""
        if not rules_for(alert, self._ruleset):
            log.info("no rule is on alert %s about %s", alert.name, sorted(alert.about()))
            return 0
        now_ms, sent = time.time_ns() // 1_000_000, 0
        with ExitStack() as connections:
            first, second = (self._ledger(connections) for _ in range(2))
            found = requests_of(alert, self._ruleset, self._policy, now_ms, first, second)
            while batch := await self._from_ledger(lambda: list(islice(found, _BATCH))):
                await self._to_guard(batch)
                for one in batch:
                    metrics.ALERT_REQUESTS.labels(one.rule).inc()
                sent += len(batch)
                self._moved += 1
        log.info("alert %s about %s: %d requests", alert.name, sorted(alert.about()), sent)
        return sent

    def _ledger(self, connections: ExitStack) -> Client:
        url = self._settings.clickhouse.get_secret_value()
        client = connect_ledger(url, send_receive_timeout=_PATIENCE)
        connections.callback(client.disconnect)
        return client

    async def _from_ledger(self, ask: Callable[[], T]) -> T:
        """What the ledger answers. Raises Unavailable."""
        try:
            found = await asyncio.to_thread(ask)
        except (ClickHouseError, OSError, EOFError) as error:
            self._probes.away(CLICKHOUSE, explain(error))
            raise Unavailable(f"ClickHouse: {explain(error)}") from error
        self._probes.back(CLICKHOUSE)
        return found

    async def _to_guard(self, requests: list[OutreachRequest]) -> None:
        """Return once Kafka has them. Raises Unavailable."""
        records = [
            Outgoing(topics.REQUESTS.name, 0, one.customer.encode(), _encode(one))
            for one in requests
        ]
        try:
            async with asyncio.timeout(_PATIENCE):
                await deliver(await self._connected(), records)
        except (KafkaError, TimeoutError) as error:
            self._probes.away(KAFKA, describe(error))
            await self.close()  # with it, what is known of a broker that may be another one now
            raise Unavailable(f"Kafka: {describe(error)}") from error
        self._probes.back(KAFKA)

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await self._connections.enter_async_context(connect(self._settings))
        return self._producer

    async def reach(self) -> None:
        """Ask both dependencies something every few seconds, for ever, so that /ready is true."""
        while True:
            if not self._turn.locked():
                with suppress(Unavailable):
                    await self._reach()
            await asyncio.sleep(_REACH_EVERY)

    async def _reach(self) -> None:
        async with self._turn:
            with ExitStack() as connections:
                client = self._ledger(connections)
                await self._from_ledger(lambda: client.execute(_ASK))
            try:
                async with asyncio.timeout(_PATIENCE):
                    await ask_broker((await self._connected()).client)
            except (KafkaError, TimeoutError) as error:
                self._probes.away(KAFKA, describe(error))
                await self.close()
            else:
                self._probes.back(KAFKA)

    async def close(self) -> None:
        """Let go of the broker."""
        connections, self._connections, self._producer = self._connections, AsyncExitStack(), None
        with suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await connections.aclose()

    def look(self) -> tuple[Mapping[str, Lane], Mapping[str, str]]:
        """What waits and what moved."""
        return {"webhook": Lane(self._in_hand > 0, self._moved)}, {}


async def serve(settings: Settings, stop: asyncio.Event, probes: Probes, address: str) -> None:
    """Answer webhooks until `stop`. Raises SettingsError where the port is taken."""
    receiver = Receiver(settings, probes)
    application = web.Application(client_max_size=_MOST_BYTES)
    application.router.add_post(ROUTE, receiver.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    host, port = settings.receiver_host, settings.receiver_port
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        await runner.cleanup()
        raise SettingsError(
            f"{PREFIX}RECEIVER_HOST={host}, {PREFIX}RECEIVER_PORT={port}: {error}; "
            "choose another port, or 0 for any that is free"
        ) from None
    port = runner.addresses[0][1]
    print(f"receiver ready on http://{host}:{port}{ROUTE}, metrics on {address}", flush=True)
    tasks = [
        asyncio.create_task(work) for work in (probes.observe(receiver.look), receiver.reach())
    ]
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await runner.cleanup()  # after the webhooks in hand
        await receiver.close()


def main() -> int:
    """Run the receiver until SIGTERM: 0; 2 for bad settings."""
    log_to_stderr()
    try:
        settings = load()
        probes = Probes(settings.stuck_seconds)
        address = probes.serve(settings)
        asyncio.run(until_signalled(lambda stop: serve(settings, stop, probes, address)))
    except (SettingsError, PolicyError, RulesError) as error:
        print(f"receiver: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
