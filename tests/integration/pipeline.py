"""Worker, sink and receiver as processes, with a proxy before their broker and their database."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

from clickhouse_driver import Client

from deploy.local import broker, kafka
from deploy.local.process import Process, free_ports, is_open
from deploy.local.scrape import scrape, total
from producers.publisher import Publisher, prepare
from schemas.settings import Settings
from sinks.clickhouse import connect
from sinks.clickhouse import prepare as create_tables
from streams.cluster import declare
from tests.proxy import Proxy, proxy
from tests.wire import touchpoint

PARTITIONS: Final = 2
PATIENCE: Final = 90.0  # seconds; CI machines are slow
MODULES: Final = {
    "worker": "streams.app",
    "sink": "sinks.consumer",
    "receiver": "alerts.receiver",
}


class Pipeline:
    """What tests of outages do to a pipeline, and what they ask of it."""

    def __init__(
        self, folder: Path, broker: Proxy, database: Proxy, direct_url: str, stuck_seconds: float
    ) -> None:
        self.folder, self.broker, self.database = folder, broker, database
        self.settings = Settings(
            data=folder,
            kafka=f"127.0.0.1:{broker.port}",
            clickhouse=direct_url.replace(f":{_port(direct_url)}/", f":{database.port}/"),
            partitions=PARTITIONS,
            identity_key="k",
            stuck_seconds=stuck_seconds,
        )
        self._direct_url = direct_url
        self.parts: dict[str, Process] = {}
        self._ports: dict[str, int] = {}
        self._sent = 0

    def start(self, *names: str) -> None:
        """Start parts, named worker or sink and a suffix; those of a name before are forgotten."""
        for name in names:
            (port,) = free_ports(1)
            settings = self.settings.model_dump(exclude_none=True) | {"metrics_port": port}
            environ = {
                **{k: v for k, v in os.environ.items() if not k.startswith("JOURNEY_")},
                **{f"JOURNEY_{key.upper()}": _plain(value) for key, value in settings.items()},
            }
            command = [sys.executable, "-m", MODULES[name.split("-")[0]]]
            self.parts[name] = Process(name, command, environ, self.folder / f"{name}.log")
            self._ports[name] = port

    def resume(self, sent: int) -> None:
        """Go on as if so many had been sent."""
        self._sent = sent

    def send(self, count: int) -> None:
        """Touchpoints of twenty customers; returns once the broker has them all."""
        with Publisher(self.settings) as publisher:
            self.publish(publisher, count)

    def publish(self, publisher: Publisher, count: int) -> int:
        """The same by a publisher, which is to be flushed; the most that were on their way."""
        most = 0
        for n in range(self._sent, self._sent + count):
            given = touchpoint(
                n,
                occurred_at="2025-03-01T08:00:00Z",
                identifiers=[{"kind": "cookie", "value": f"c-{n % 20}"}],
            )
            anchor, wire = prepare(given, b"k", "IR")
            publisher.publish(wire, anchor)
            most = max(most, publisher.sent - publisher.failed - publisher.delivered)
        self._sent += count
        return most

    def stored(self) -> int:
        """Touchpoints in the ledger."""
        return int(self._ask("SELECT count() FROM touchpoints FINAL"))

    def counted(self) -> int:
        """Touchpoints that the live state of all customers has counted."""
        return int(self._ask("SELECT sum(n) FROM parts FINAL WHERE n > 0"))

    def assert_exact(self, seconds: float = PATIENCE) -> None:
        """Everything sent arrives in the ledger and in live state, and once."""
        until(lambda: self.stored() >= self._sent, self.told, seconds)
        until(lambda: self.counted() >= self._sent, self.told, seconds)
        assert (self.stored(), self.counted()) == (self._sent, self._sent)

    def told(self) -> str:
        """What there is to see when something does not happen."""
        found = {
            name: (self.probe(name, "ready"), part.output()) for name, part in self.parts.items()
        }
        return f"{self._sent=} {self.stored()=} {self.counted()=} {found}"

    def probe(self, name: str, route: str) -> tuple[int, dict[str, Any]]:
        """Status and body of a part's /live or /ready; status 0 where it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self._ports[name]}/{route}", timeout=2) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def metric(self, name: str, part: str, **labels: str) -> float:
        """A sample of a part's metrics page."""
        return total([scrape(self._ports[part])], name, **labels)

    def is_ready(self, *names: str) -> bool:
        """Whether parts answer 200 on /ready."""
        return all(self.probe(name, "ready")[0] == 200 for name in names)

    def waits_for(self, name: str, dependency: str) -> bool:
        """Whether a part is live, not ready, and says that a dependency is away."""
        live, _ = self.probe(name, "live")
        ready, told = self.probe(name, "ready")
        away = "away for" in told.get("why", {}).get(dependency, "")
        outage = self.metric("journey_outage", name, dependency=dependency)
        return (live, ready, away, outage) == (200, 503, True, 1)

    def memory(self, name: str) -> int:
        """Resident bytes of a part."""
        status = Path(f"/proc/{self.parts[name].pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a part."""
        os.kill(self.parts[name].pid, number)

    def never_ended(self) -> bool:
        """Whether every part still runs."""
        return all(part.returncode() is None for part in self.parts.values())

    def stop(self) -> None:
        """End every part."""
        for part in self.parts.values():
            part.stop(5)

    def _ask(self, query: str) -> object:
        client: Client = connect(self._direct_url)
        try:
            return client.execute(query)[0][0]
        finally:
            client.disconnect()


@contextmanager
def pipeline(
    folder: Path,
    clickhouse_url: str,
    stuck_seconds: float = 30.0,
    create: Callable[[str], object] = create_tables,
) -> Iterator[Pipeline]:
    """Broker and database, each behind its proxy, with topics and tables, and no part running."""
    with ExitStack() as stack:
        way = stack.enter_context(_broker_behind_proxy(folder))
        database = stack.enter_context(proxy(_port(clickhouse_url)))
        found = Pipeline(folder, way, database, clickhouse_url, stuck_seconds)
        stack.callback(found.stop)
        create(clickhouse_url)
        declare(found.settings)
        yield found


def until(
    true: Callable[[], object], otherwise: Callable[[], str], seconds: float = PATIENCE
) -> None:
    """Poll until it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _plain(value: Any) -> str:
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


@contextmanager
def _broker_behind_proxy(folder: Path) -> Iterator[Proxy]:
    """A proxy that every connection to a broker goes through, the embedded one or Apache Kafka."""
    port, controller = free_ports(2)
    with proxy(port) as way:
        if jars := os.environ.get("JOURNEY_KAFKA_JARS"):
            listen = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{way.port}"}
            kafka.prepare(folder / "kafka", port, controller, listen, jars=Path(jars))
            command = kafka.command(folder / "kafka", Path(jars))
        else:
            command = broker.command(port, advertised=way.port)
        process = Process("broker", command, os.environ, folder / "broker.log")
        try:
            process.wait_until(lambda: is_open(port), 30)
            yield way
        finally:
            process.stop(5)
