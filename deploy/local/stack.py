"""The local stack: broker, database, workers and sink, supervised in the foreground.

Observed, also Prometheus, Alertmanager and the receiver of its webhook.

The broker is the embedded one, which forgets when it stops: state is rebuilt from the ledger. Or
it is Apache Kafka, with its log in the folder: everything goes on where it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from pydantic import SecretStr

from deploy.local import broker, kafka, observe
from deploy.local.process import Process, StartFailed, free_ports, is_open
from deploy.local.restore import ledger_size, restore
from deploy.local.scrape import probe, scrape, total
from deploy.local.supervision import Restarts
from schemas.settings import KEY_FILE, PREFIX, STACK_FILE, Settings
from schemas.topics import TOUCHPOINTS
from sinks.clickhouse import prepare
from streams.cluster import (
    SINK,
    BrokerUnavailable,
    declare,
    delete_topics,
    is_empty,
    unread,
)

HOST: Final = "127.0.0.1"
_LOCK: Final = "stack.lock"
_RECEIVER: Final = "receiver"
_STATE: Final = "state"  # folder of the workers' state, where the broker remembers
_LOG: Final = "kafka"  # folder of Apache Kafka's log
_FILLING: Final = "kafka.filling"  # stands while state is rebuilt into that log
# Settings for a cluster elsewhere; our own broker is on loopback and asks for nothing.
_LOGINS: Final = (
    "kafka_username",
    "kafka_password",
    "kafka_ca",
    "kafka_certificate",
    "kafka_key",
)
_ASK_EVERY: Final = 2.0  # seconds between two questions to /live
_STUCK_END_SECONDS: Final = 5.0  # for a part that is stuck to end by itself
_DRAIN_SECONDS: Final = 60.0
_RESTORE_SECONDS: Final = 600.0

# What the stack is doing now, for people: a phrase, and (done, of) where it takes long.
Report = Callable[[str, int, int], None]


class StackError(Exception):
    """The stack cannot start; one line that names the cause and the fix."""


class Stack:
    """Starts, watches and stops the parts. The folder belongs to one stack at a time."""

    def __init__(
        self,
        settings: Settings,
        workers: int,
        port_base: int | None,
        report: Report,
        observed: bool = False,
    ) -> None:
        self._folder = settings.data.absolute()
        self._report = report
        self._workers = workers
        self._jars = settings.kafka_jars
        self._dispatches = settings.endpoints_file is not None
        watching = (*observe.PARTS, _RECEIVER) if observed else ()
        count = workers + 3 + self._dispatches + (self._jars is not None)
        count += len(watching) + observed
        ports = free_ports(count) if port_base is None else _checked(port_base, count)
        self._broker_port, self._clickhouse_port, self._sink_port, *more = ports
        self._worker_ports, more = more[:workers], more[workers:]
        self._dispatch_port = more.pop() if self._dispatches else 0
        self._controller_port = more.pop() if self._jars is not None else 0
        self._observer_ports = dict(zip(watching, more, strict=False))
        self._receiver_metrics_port = more[-1] if observed else 0
        self.settings = settings.model_copy(
            update={
                "data": self._folder,
                "kafka": f"{HOST}:{self._broker_port}",
                **dict.fromkeys(_LOGINS),
                "kafka_security": "PLAINTEXT",
                "clickhouse": SecretStr(
                    f"clickhouse://default@{HOST}:{self._clickhouse_port}/journey"
                ),
            }
        )
        self._lock: IO[str] | None = None
        self._parts: dict[str, Process] = {}
        self._restarts = Restarts()
        self._answered: dict[str, float] = {}  # when a part last answered, or was started
        self._asked = 0.0

    def start(self, fresh: bool, rebuild: bool = False) -> None:
        """Start everything, on an empty folder where `fresh`; returns once touchpoints may come.

        With `rebuild`, state comes from the ledger also where Kafka has kept it. Raises StackError,
        with whatever had started stopped again.
        """
        self._claim(fresh)
        try:
            self._start(rebuild)
        except (StartFailed, kafka.KafkaMissing, observe.ObserverMissing) as error:
            self.stop(drain=False)
            raise StackError(str(error)) from error
        except BaseException:
            self.stop(drain=False)
            raise

    def watch(self) -> None:
        """End what is stuck and start again what has ended, after a pause that grows.

        Where a broker that forgets died, rebuild from the ledger; raises StackError where that
        fails.
        """
        self._end_stuck()
        now = time.monotonic()
        dead = [name for name, part in self._parts.items() if part.returncode() is not None]
        for name in dead:
            part = self._parts[name]
            pause = self._restarts.ended(name, part.last_line(), now)
            if pause is not None:
                again = f"restarting in {pause:.1f} s"
                self._report(f"{name} ended with {part.returncode()}, {again}", 0, 0)
                self._record(ready=True)
        due = [name for name in dead if self._restarts.is_due(name, now)]
        if "broker" in dead and self._jars is None:
            if "broker" in due:
                self._begin_again()
        elif due:
            self._restart(due)

    def _begin_again(self) -> None:
        self._stop_parts(seconds=3)  # they cannot commit without a broker
        try:
            self._start()
        except StartFailed as error:
            raise StackError(str(error)) from error

    def _restart(self, due: list[str]) -> None:
        servers = [name for name in due if name in {"broker", "clickhouse"}]
        for name in servers:
            self._launch(name)
        self._record(ready=True)
        for name in servers:
            try:
                self._wait_for(name)
            except StartFailed as error:
                self._report(str(error), 0, 0)
                self._parts[name].stop(seconds=3)  # to be tried again like one that ended
        for name in due:
            if name not in servers:
                self._launch(name)
        self._record(ready=True)

    def _end_stuck(self) -> None:
        """Ask every worker and the sink whether they are live, and end those that are not.

        One that does not answer has as long as one that answers has to move.
        """
        if time.monotonic() < self._asked + _ASK_EVERY:
            return
        self._asked = time.monotonic()
        for name, port in self._metrics_ports().items():
            part = self._parts.get(name)
            if part is None or part.returncode() is not None:
                continue
            told = probe(port, "/live")
            now = time.monotonic()
            if told is not None:
                self._answered[name] = now
                if not told["live"]:
                    why = "; ".join(f"{what} {fault}" for what, fault in told["why"].items())
                    self._report(f"{name} is stuck, ending it: {why}", 0, 0)
                    part.stop(_STUCK_END_SECONDS)
            elif now > self._answered[name] + self.settings.stuck_seconds:
                self._report(f"{name} does not answer, ending it", 0, 0)
                part.stop(seconds=0)

    def stop(self, drain: bool = True) -> None:
        """Stop in order of flow. With `drain`, first let all that was sent reach the ledger."""
        try:
            if drain and {"broker", "sink"} <= self._parts.keys():
                self._report("draining", 0, 0)
                self._drain()
        finally:
            self._stop_parts(seconds=15)
            (self._folder / STACK_FILE).unlink(missing_ok=True)
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _drain(self) -> None:
        """Wait for the ledger to have everything; there is nothing to wait for without a broker."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        with suppress(BrokerUnavailable, StackError):
            while self._parts["broker"].returncode() is None and time.monotonic() < deadline:
                self.watch()
                if not any(unread(self.settings).values()):
                    return
                time.sleep(0.1)

    def _claim(self, fresh: bool) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / _LOCK).open("a")
        except OSError as error:
            raise StackError(
                f"data folder {self._folder}: {error.strerror}; choose another with --data"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"data folder {self._folder}: another stack runs on it; stop that one, "
                "or choose another folder with --data"
            ) from error
        if fresh:
            for name in ("clickhouse", "logs", _LOG, _STATE, *observe.PARTS):
                shutil.rmtree(self._folder / name, ignore_errors=True)
            (self._folder / _FILLING).unlink(missing_ok=True)
        if self._jars is None and (self._folder / _LOG).exists():
            raise StackError(
                f"{self._folder / _LOG} is Apache Kafka's log: name its jars (JOURNEY_KAFKA_JARS), "
                "or remove that folder to go on with what is in the ledger"
            )
        (self._folder / "logs").mkdir(exist_ok=True)
        if self.settings.identity_key is None:
            _secret(self._folder / KEY_FILE)

    def _start(self, rebuild: bool = False) -> None:
        if self._observer_ports:
            observe.programs()  # before anything is started
        self._report("starting broker and database", 0, 0)
        self._launch("clickhouse")
        if self._jars is not None:
            self._prepare_kafka(self._jars)
        self._launch("broker")
        self._wait_for("broker")
        self._wait_for("clickhouse")
        prepare(self.settings.clickhouse.get_secret_value())
        if rebuild:
            self._forget()
        declare(self.settings)
        rebuilt = self._rebuild()
        self._report("starting workers", 0, 0)
        names = [f"worker-{n + 1}" for n in range(self._workers)]
        for name in ("sink", *names, *(("dispatch",) if self._dispatches else ())):
            self._launch(name)
        self._record(ready=False)
        self._parts["sink"].wait_until(lambda: "sink ready" in self._parts["sink"].output(), 60)
        if self._dispatches:
            told = self._parts["dispatch"]
            told.wait_until(lambda: "dispatch ready" in told.output(), 60)
        # The group is ready when its members own every partition between them.
        newest = self._parts[names[-1]]
        newest.wait_until(lambda: self._assigned() >= self.settings.partitions, 60)
        if rebuilt:
            self._report("storing state", 0, 0)
            self._parts["sink"].wait_until(self._is_stored, _RESTORE_SECONDS)
        if self._observer_ports:
            self._observe()
        self._record(ready=True)

    def _observe(self) -> None:
        """Start Prometheus, Alertmanager and the receiver, the receiver with a token of its own."""
        self._report("starting Prometheus and Alertmanager", 0, 0)
        ports = self._observer_ports
        _secret(self._folder / observe.TOKEN)
        targets = {
            "worker": self._worker_ports,
            "sink": [self._sink_port],
            "dispatch": [self._dispatch_port] if self._dispatches else [],
            _RECEIVER: [self._receiver_metrics_port],
        }
        observe.configure(self._folder, HOST, ports, targets)
        for name in ports:
            self._launch(name)
        for name, port in ports.items():
            self._parts[name].wait_until(partial(is_open, port), 60)

    def _prepare_kafka(self, jars: Path) -> None:
        log = self._folder / _LOG
        if (self._folder / _FILLING).exists():  # the rebuild before did not come to its end
            shutil.rmtree(log, ignore_errors=True)
            (self._folder / _FILLING).unlink()
        kafka.prepare(log, self._broker_port, self._controller_port, jars=jars)

    def _forget(self) -> None:
        """Delete the topics, where the ledger has all that is in them."""
        behind = sum(unread(self.settings).values())
        if behind:
            raise StackError(
                f"{behind:,} records in Kafka are not in the ledger yet, so state cannot be "
                "rebuilt: start without --rebuild and stop, which waits for them"
            )
        delete_topics(self.settings)

    def _rebuild(self) -> bool:
        """Fill empty topics from the ledger; whether there was anything to fill them with."""
        stored = ledger_size(self.settings)
        if not stored or not is_empty(self.settings):
            return False
        (self._folder / _FILLING).touch()
        restore(self.settings, lambda done: self._report("rebuilding state", done, stored))
        (self._folder / _FILLING).unlink()
        return True

    def _wait_for(self, server: str) -> None:
        port = {"broker": self._broker_port, "clickhouse": self._clickhouse_port}[server]
        self._parts[server].wait_until(lambda: is_open(port), 60)

    def _is_stored(self) -> bool:
        return not any(n for (group, _), n in unread(self.settings).items() if group == SINK)

    def metrics(self) -> list[str]:
        """The metrics pages of workers, sink and dispatcher."""
        return [scrape(port) for port in self._metrics_ports().values()]

    def urls(self) -> dict[str, str]:
        """Where Prometheus, Alertmanager and the receiver answer; empty where not observed."""
        return {name: f"http://{HOST}:{port}" for name, port in self._observer_ports.items()}

    def _metrics_ports(self) -> dict[str, int]:
        workers = {f"worker-{n + 1}": port for n, port in enumerate(self._worker_ports)}
        receiver = {_RECEIVER: self._receiver_metrics_port} if self._observer_ports else {}
        dispatch = {"dispatch": self._dispatch_port} if self._dispatches else {}
        return {"sink": self._sink_port, **workers, **dispatch, **receiver}

    def _assigned(self) -> int:
        return int(total(self.metrics(), "journey_assigned_partitions", topic=TOUCHPOINTS.name))

    def _launch(self, name: str) -> None:
        command, metrics_port = self._command(name)
        settings = self.settings
        environ = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)} | {
            f"{PREFIX}DATA": str(settings.data),
            f"{PREFIX}KAFKA": settings.kafka,
            f"{PREFIX}CLICKHOUSE": settings.clickhouse.get_secret_value(),
            f"{PREFIX}PARTITIONS": str(settings.partitions),
            f"{PREFIX}PHONE_REGION": settings.phone_region,
            f"{PREFIX}OWN_CONTACTS": settings.own_contacts,
            f"{PREFIX}DEAD_LETTER_LIMIT": str(settings.dead_letter_limit),
            f"{PREFIX}METRICS_PORT": str(metrics_port),
            f"{PREFIX}STUCK_SECONDS": str(settings.stuck_seconds),
            f"{PREFIX}IDENTITY_KEY": settings.identity_key_bytes().decode(),
        }
        if settings.health_file is not None:
            environ[f"{PREFIX}HEALTH_FILE"] = str(settings.health_file.absolute())
        if settings.rules_file is not None:
            environ[f"{PREFIX}RULES_FILE"] = str(settings.rules_file.absolute())
        if name == _RECEIVER:
            environ |= {
                f"{PREFIX}RECEIVER_TOKEN": (self._folder / observe.TOKEN).read_text(),
                f"{PREFIX}RECEIVER_HOST": HOST,
                f"{PREFIX}RECEIVER_PORT": str(self._observer_ports[_RECEIVER]),
            }
        if settings.endpoints_file is not None:
            environ[f"{PREFIX}ENDPOINTS_FILE"] = str(settings.endpoints_file.absolute())
        if self._jars is not None and name.startswith("worker"):
            environ[f"{PREFIX}STATE"] = str(self._folder / _STATE / name)
        log = self._folder / "logs" / f"{name}.log"
        self._parts[name] = Process(name, command, environ, log)
        self._answered[name] = time.monotonic()
        self._restarts.started(name, self._answered[name])

    def _command(self, name: str) -> tuple[list[str], int]:
        if name == "broker":
            if self._jars is not None:
                return kafka.command(self._folder / _LOG, self._jars), 0
            return broker.command(self._broker_port), 0
        if name == "clickhouse":
            data = str(self._folder / "clickhouse")
            port = str(self._clickhouse_port)
            module = "deploy.local.clickhouse"
            return [sys.executable, "-m", module, "--data", data, "--port", port], 0
        if name == "sink":
            return [sys.executable, "-m", "sinks.consumer"], self._sink_port
        if name == _RECEIVER:
            return [sys.executable, "-m", "alerts.receiver"], self._receiver_metrics_port
        if name in observe.PARTS:
            program, listens = observe.programs()[name], self._observer_ports[name]
            return observe.command(name, program, self._folder, HOST, listens), 0
        if name == "dispatch":
            return [sys.executable, "-m", "sinks.outreach"], self._dispatch_port
        return [sys.executable, "-m", "streams.app"], self._worker_ports[int(name[7:]) - 1]

    def _record(self, ready: bool) -> None:
        """Write where the stack listens, for the other verbs to find."""
        found = {
            "pid": os.getpid(),
            "ready": ready,
            "settings": {
                "data": str(self.settings.data),
                "kafka": self.settings.kafka,
                "clickhouse": self.settings.clickhouse.get_secret_value(),
                "partitions": self.settings.partitions,
                "phone_region": self.settings.phone_region,
                "own_contacts": self.settings.own_contacts,
                "health_file": _path(self.settings.health_file),
                "rules_file": _path(self.settings.rules_file),
                "endpoints_file": _path(self.settings.endpoints_file),
            },
            "processes": {name: part.pid for name, part in self._parts.items()},
            "metrics": self._metrics_ports(),
            "urls": self.urls(),
            "restarts": self._restarts.told(time.monotonic()),
        }
        # Others read it at any moment: whole or not at all.
        new = self._folder / f"{STACK_FILE}.new"
        new.touch(mode=0o600)  # a URL may have a password
        new.write_text(json.dumps(found, indent=2) + "\n")
        new.replace(self._folder / STACK_FILE)

    def _stop_parts(self, seconds: float) -> None:
        workers = [name for name in self._parts if name.startswith("worker")]
        for name in (
            *(*self._observer_ports, *workers),
            *("dispatch", "sink", "clickhouse", "broker"),
        ):
            part = self._parts.pop(name, None)
            if part is not None:
                part.stop(seconds)


def recorded(settings: Settings) -> dict[str, dict[str, Any]]:
    """Processes of the stack on the data folder: pid, metrics port, live, ready and why not.

    Empty where none is recorded, as on a cluster that something else supervises.
    """
    try:
        found = json.loads((settings.data / STACK_FILE).read_text())
    except FileNotFoundError:
        return {}
    ports = found.get("metrics", {})
    pages = [scrape(port) for port in ports.values()]
    owned = total(pages, "journey_assigned_partitions", topic=TOUCHPOINTS.name)
    ready = bool(found.get("ready")) and owned >= found["settings"].get("partitions", 0)
    return {
        name: {
            "pid": pid,
            "metrics_port": ports.get(name, 0),
            "url": found.get("urls", {}).get(name, ""),
            **_standing(ports.get(name), found["restarts"][name], ready),
        }
        for name, pid in found.get("processes", {}).items()
    }


def _standing(port: int | None, restarts: dict[str, Any], whole: bool) -> dict[str, Any]:
    """Whether a process is live and ready, and why not; `whole`: all partitions have an owner."""
    if "why" in restarts:
        told = {"live": False, "ready": False, "why": f"ended: {restarts['why']}"}
    elif port is None:  # a server: its clients tell how it does
        told = {"live": True, "ready": True, "why": ""}
    else:
        asked = probe(port, "/ready")
        if asked is None:
            told = {"live": False, "ready": False, "why": "does not answer"}
        else:
            why = "; ".join(f"{what} {fault}" for what, fault in asked["why"].items())
            told = asked | {"why": why}
            if asked["ready"] and not whole:
                told |= {"ready": False, "why": "partitions have no owner yet"}
    return told | {"restarts": restarts["restarts"]}


def _secret(path: Path) -> None:
    """Write a secret into a file that its owner alone may read, where there is none yet."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))


def _path(file: Path | None) -> str | None:
    return None if file is None else str(file.absolute())


def _checked(base: int, count: int) -> list[int]:
    ports = list(range(base, base + count))
    if not (base >= 1 and ports[-1] <= 65535):
        raise StackError(f"--port-base {base}: needs {count} ports between 1 and 65535")
    for port in ports:
        if is_open(port):
            raise StackError(f"port {port} is taken: choose another --port-base, or leave it out")
    return ports
