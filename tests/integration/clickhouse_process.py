"""The local ClickHouse as a process of its own, for tests."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickhouse_driver import Client

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


@dataclass(frozen=True)
class Front:
    process: subprocess.Popen[str]
    port: int

    def client(self, **options: Any) -> Client:
        return Client("127.0.0.1", port=self.port, **options)

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, status
        return int(found[1]) / 1024

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(START_SECONDS)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS)


def command(folder: Path, port: int = 0) -> list[str]:
    arguments = ["--data", str(folder), "--port", str(port)]
    return [sys.executable, "-m", "deploy.local.clickhouse", *arguments]


@contextlib.contextmanager
def running_front(folder: Path, time_zone: str = "UTC") -> Iterator[Front]:
    """Start on a free port; killed at the end, when the test has not ended it itself."""
    process = subprocess.Popen(
        command(folder),
        cwd=ROOT,
        env={**os.environ, "TZ": time_zone},
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = threading.Timer(START_SECONDS, process.kill)
    deadline.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        assert found, f"the local ClickHouse did not start: {line!r}"
        deadline.cancel()
        yield Front(process, int(found[1]))
    finally:
        deadline.cancel()
        process.kill()
        process.wait(START_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
