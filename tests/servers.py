"""Real servers for tests, on free ports of 127.0.0.1: the embedded database, and a broker.

The broker is the embedded one, or Apache Kafka where JOURNEY_KAFKA_JARS names its jars.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deploy.local import broker, kafka
from deploy.local.process import free_ports, is_open

# Settings of a stack under test, beside its folder: which broker it starts.
BROKER: Final = {n: value for n, value in os.environ.items() if n == "JOURNEY_KAFKA_JARS"}
BROKER_FORGETS: Final = not BROKER


@contextmanager
def running_clickhouse(folder: Path, config: Path | None = None) -> Iterator[int]:
    """The port of an embedded ClickHouse with its data in `folder`."""
    configured = [] if config is None else ["--config", str(config)]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "deploy.local.clickhouse", "--data", str(folder)),
            *("--port", "0", *configured),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), f"clickhouse did not start: {line!r}"
        yield int(line.rpartition(":")[2])
    finally:
        _end(process)


@contextmanager
def running_broker() -> Iterator[int]:
    """The port of a broker, empty."""
    with TemporaryDirectory() as folder:
        port, command = _broker(Path(folder))
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not is_open(port):
                assert process.poll() is None, "the broker ended"
                assert time.monotonic() < deadline, "the broker does not answer"
                time.sleep(0.02)
            yield port
        finally:
            _end(process)


def _broker(folder: Path) -> tuple[int, list[str]]:
    """A free port and the command line of a broker there."""
    port, controller_port = free_ports(2)
    if BROKER_FORGETS:
        return port, broker.command(port)
    jars = Path(BROKER["JOURNEY_KAFKA_JARS"])
    kafka.prepare(folder, port, controller_port, jars=jars)
    return port, kafka.command(folder, jars)


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port where nobody answers, and nobody can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
