"""The `journey` command as people run it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from sinks.clickhouse import connect
from tests.servers import BROKER

COMMAND: Final = str(Path(sys.executable).with_name("journey"))
PATIENCE: Final = 120.0


def journey(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb against the stack of a data folder, to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=_environ(data),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def answer(data: Path, *arguments: str) -> Any:
    """What a verb prints with --json; it must succeed."""
    done = journey(data, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Running:
    """A verb that runs a stack in the foreground."""

    process: subprocess.Popen[str]
    data: Path
    log: Path

    def pids(self) -> dict[str, int]:
        """Name of each part to its process id, as the data folder has it."""
        found: dict[str, int] = json.loads((self.data / "stack.json").read_text())["processes"]
        return found

    def clickhouse(self) -> Client:
        """A client of the stack's database."""
        recorded = json.loads((self.data / "stack.json").read_text())
        return connect(recorded["settings"]["clickhouse"])

    def kill(self, part: str) -> None:
        """kill -9 of one part."""
        os.kill(self.pids()[part], signal.SIGKILL)

    def stored(self) -> int:
        """Touchpoints in the ledger; 0 while the database does not answer."""
        client = self.clickhouse()
        try:
            return int(client.execute("SELECT count() FROM touchpoints")[0][0])
        except (ClickHouseError, EOFError, OSError):
            return 0
        finally:
            client.disconnect()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code. No part may be left."""
        parts = self.pids().values()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        until(lambda: not any(map(is_alive, parts)), f"{self.data} left processes")
        return code


@contextmanager
def running(data: Path, *arguments: str, **settings: object) -> Iterator[Running]:
    """Start `journey up` or `demo` with some settings; killed where the test has not ended it."""
    given = {f"JOURNEY_{name.upper()}": str(value) for name, value in settings.items()}
    log = data.with_name(f"{data.name}.log")
    with log.open("a+") as errors:
        process = subprocess.Popen(
            [COMMAND, *arguments],
            env=_environ(data) | given,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    found = Running(process, data, log)
    try:
        until(lambda: _is_ready(found), f"journey {arguments[0]} does not start, see {log}")
        yield found
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until(true: Callable[[], bool], otherwise: str, seconds: float = PATIENCE) -> None:
    """Poll until it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def write_ndjson(path: Path, lines: Iterable[dict[str, Any] | bytes]) -> Path:
    """A file of touchpoints; bytes stand as they are."""
    encoded = (line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines)
    path.write_bytes(b"\n".join(encoded) + b"\n")
    return path


def _is_ready(found: Running) -> bool:
    assert found.process.poll() is None, found.log.read_text()
    try:
        recorded = json.loads((found.data / "stack.json").read_text())
    except FileNotFoundError:
        return False
    return bool(recorded["ready"] and recorded["pid"] == found.process.pid)


def _environ(data: Path) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("JOURNEY_")}
    return others | BROKER | {"JOURNEY_DATA": str(data), "COLUMNS": "200"}
