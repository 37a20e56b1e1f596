"""Real servers for tests: the embedded database and broker, on free ports of 127.0.0.1."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.broker import command


@contextmanager
def running_clickhouse(folder: Path) -> Iterator[int]:
    """The port of an embedded ClickHouse with its data in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.local.clickhouse", "--data", str(folder), "--port", "0"],
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
    """The port of an embedded broker, empty."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the broker ended"
                assert time.monotonic() < deadline, "the broker does not answer"
                time.sleep(0.02)
        yield port
    finally:
        _end(process)


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
