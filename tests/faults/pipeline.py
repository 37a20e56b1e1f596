"""The processes of the run, and the supervisor that starts again what has died."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Final

from clickhouse_driver import Client
from pydantic import SecretStr

from deploy.local import kafka
from deploy.local.process import Process, free_ports
from schemas.settings import PREFIX, Settings
from sinks.clickhouse import connect, prepare
from streams.cluster import BrokerUnavailable, declare
from tests.faults.liveness import Liveness
from tests.faults.network import Network

BROKER: Final = "broker"
CLICKHOUSE: Final = "clickhouse"
SINK: Final = "sink"
PRODUCER: Final = "producer"
WORKERS: Final = ("worker-1", "worker-2")
SPARE: Final = "worker-3"  # comes and goes
PARTITIONS: Final = 4
_PROBED: Final = (SINK, *WORKERS, SPARE)
_LINKED: Final = (CLICKHOUSE, SINK, PRODUCER, *WORKERS, SPARE)  # the broker is the hub
_RESTART_PAUSE: Final = 1.0
_START_SECONDS: Final = 60.0
# Small segments, so that the changelogs are compacted during the run.
_BROKER_OPTIONS: Final = {
    "log.segment.bytes": str(16 << 20),
    "log.cleaner.backoff.ms": "5000",
    "log.retention.check.interval.ms": "10000",
}


class NotStarted(Exception):
    """A part of the pipeline did not come up; the message names it and its log."""


class Pipeline:
    """Starts, watches and breaks the parts. What is `held` is down on purpose."""

    def __init__(self, folder: Path, network: Network, stream: Path, rate: float) -> None:
        self.folder = folder
        self.network = network
        self.acknowledged = folder / "acknowledged"
        self._addresses = {name: network.join(name) for name in _LINKED}
        ports = free_ports(3 + len(_PROBED))
        self._broker_port, self._controller_port, self._clickhouse_port, *probes = ports
        self._probe_ports = dict(zip(_PROBED, probes, strict=True))
        self._liveness = Liveness(
            {name: f"{self._addresses[name]}:{port}" for name, port in self._probe_ports.items()}
        )
        self._stream = stream
        self._rate = rate
        self._began = 0.0
        self.settings = Settings(
            data=folder,
            kafka=f"{network.hub}:{self._broker_port}",
            clickhouse=SecretStr(
                f"clickhouse://default@{self._addresses[CLICKHOUSE]}:{self._clickhouse_port}/journey"
            ),
            partitions=PARTITIONS,
            identity_key=SecretStr("the key of the fault run"),
        )
        self.parts: dict[str, Process] = {}
        self.held: set[str] = set()
        self.exits: Counter[tuple[str, int]] = Counter()  # ends that no fault asked for
        self.stuck: Counter[str] = Counter()  # ended because they did not get on
        self.peaks: dict[str, int] = {}  # part -> most resident memory, bytes
        self._expected: set[int] = set()  # pids that we killed
        self._dead_since: dict[str, float] = {}

    def start(self) -> None:
        """Start everything but the producer. Raises NotStarted and KafkaMissing."""
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)
        hub = self.network.hub
        plain, controller = (
            f"PLAINTEXT://{hub}:{self._broker_port}",
            f"CONTROLLER://127.0.0.1:{self._controller_port}",
        )
        kafka.prepare(
            self.folder / BROKER,
            self._broker_port,
            self._controller_port,
            {
                "listeners": f"{plain},{controller}",
                "advertised.listeners": plain,
                **_BROKER_OPTIONS,
            },
        )
        self._liveness.start()
        self.launch(BROKER)
        self.launch(CLICKHOUSE)
        self._await(BROKER, lambda: _answers(hub, self._broker_port) and self._declare())
        address = self._addresses[CLICKHOUSE]
        self._await(CLICKHOUSE, lambda: _answers(address, self._clickhouse_port))
        prepare(self.settings.clickhouse.get_secret_value())
        for name in (SINK, *WORKERS):
            self.launch(name)
        self._await(SINK, lambda: "sink ready" in self.parts[SINK].output())

    def produce(self) -> None:
        """Start the producer; its pace counts from now."""
        self._began = time.time()
        self.launch(PRODUCER)

    def clickhouse(self) -> Client:
        """A client of the database; it connects with its first query."""
        return connect(self.settings.clickhouse.get_secret_value())

    def launch(self, name: str) -> None:
        """Start a part, or start it again."""
        command = self._command(name)
        if name in self._addresses:
            command = self.network.inside(name, command)
        settings = self.settings
        environ = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)} | {
            f"{PREFIX}DATA": str(settings.data),
            f"{PREFIX}KAFKA": settings.kafka,
            f"{PREFIX}CLICKHOUSE": settings.clickhouse.get_secret_value(),
            f"{PREFIX}PARTITIONS": str(settings.partitions),
            f"{PREFIX}METRICS_HOST": self._addresses.get(name, self.network.hub),
            f"{PREFIX}METRICS_PORT": str(self._probe_ports.get(name, 0)),
            f"{PREFIX}IDENTITY_KEY": settings.identity_key_bytes().decode(),
        }
        if name in (*WORKERS, SPARE):
            environ[f"{PREFIX}STATE"] = str(self.folder / "state" / name)
        self.held.discard(name)
        self._dead_since.pop(name, None)
        self.parts[name] = Process(name, command, environ, self.folder / "logs" / f"{name}.log")
        self._liveness.expect(name)

    def watch(self) -> None:
        """Start again, after a second, what has died and is not held down; note memory.

        What is stuck is killed, and so started again.
        """
        for name, part in list(self.parts.items()):
            code = part.returncode()
            if code is None:
                self.peaks[name] = max(self.peaks.get(name, 0), _resident(part.pid))
                if self._liveness.is_stuck(name):
                    self.stuck[name] += 1
                    self.signal(name, SIGKILL)
                    self._liveness.expect(name)
            elif name in self.held or (name == PRODUCER and code == 0):
                continue
            elif name not in self._dead_since:
                self._dead_since[name] = time.monotonic()
                if part.pid not in self._expected:
                    self.exits[name, code] += 1
            elif time.monotonic() - self._dead_since[name] >= _RESTART_PAUSE:
                self.launch(name)

    def is_up(self, name: str) -> bool:
        """Whether a part runs."""
        return name in self.parts and self.parts[name].returncode() is None

    def signal(self, name: str, number: Signals) -> None:
        """Send a signal to a part; one that ends by it was asked to."""
        part = self.parts[name]
        if part.returncode() is None:
            if number in (SIGKILL, SIGTERM):
                self._expected.add(part.pid)
            os.kill(part.pid, number)

    def hold(self, name: str, number: Signals) -> None:
        """End a part by a signal and keep it down until it is launched."""
        self.held.add(name)
        self.signal(name, number)

    def wait_for_end(self, name: str, seconds: float) -> None:
        """Wait for a part that was told to end; kill it after `seconds`."""
        deadline = time.monotonic() + seconds
        while self.is_up(name):
            if time.monotonic() > deadline:
                self.signal(name, SIGKILL)
            time.sleep(0.02)

    def lose_disk(self, name: str) -> None:
        """Delete what a worker that is down kept on disk."""
        shutil.rmtree(self.folder / "state" / name, ignore_errors=True)

    def stop(self) -> None:
        """Kill everything."""
        self._liveness.stop()
        for name in (*WORKERS, SPARE, SINK, PRODUCER, CLICKHOUSE, BROKER):
            if self.is_up(name):
                self.signal(name, SIGKILL)
                self.wait_for_end(name, 5)

    def _command(self, name: str) -> list[str]:
        if name == BROKER:
            return kafka.command(self.folder / BROKER)
        python = [sys.executable, "-m"]
        if name == CLICKHOUSE:
            where = ("--host", self._addresses[name], "--port", str(self._clickhouse_port))
            return [*python, "deploy.local.clickhouse", "--data", str(self.folder / name), *where]
        if name == PRODUCER:
            return [
                *(*python, "tests.faults.producer", "--stream", str(self._stream)),
                *("--acknowledged", str(self.acknowledged)),
                *("--rate", str(self._rate), "--began", str(self._began)),
            ]
        return [*python, "sinks.consumer" if name == SINK else "streams.app"]

    def _declare(self) -> bool:
        try:
            declare(self.settings)
        except BrokerUnavailable:
            return False
        return True

    def _await(self, name: str, ready: Callable[[], bool]) -> None:
        self.parts[name].wait_until(ready, _START_SECONDS)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _resident(pid: int) -> int:
    """Resident bytes of a process; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
