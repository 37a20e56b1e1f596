"""A child process of the local stack: its log, its death with its parent, its orderly end."""

from __future__ import annotations

import ctypes
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x08")
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class StartFailed(Exception):
    """A part of the stack did not start; the message is one line and names its log."""


class Process:
    """One part of the stack, such as the broker, writing to its own log file."""

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self._begins = log.stat().st_size if log.exists() else 0
        with log.open("ab") as sink:
            self._child = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,  # Ctrl-C reaches the supervisor only
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def returncode(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._child.poll()

    def output(self) -> str:
        """What it has printed since it started."""
        with self.log.open("rb") as log:
            log.seek(self._begins)
            return log.read().decode(errors="replace")

    def last_line(self) -> str:
        """The last line it has printed since it started."""
        lines = _TERMINAL_CODES.sub("", self.output()).strip().splitlines()
        return (lines or ["no output"])[-1].strip()

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Poll until ready; StartFailed where it ends before, or takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.returncode() is not None:
                raise StartFailed(f"{self.name} ended: {self.last_line()} (log: {self.log})")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} is not ready after {seconds:.0f} s: see {self.log}")
            time.sleep(0.02)

    def stop(self, seconds: float) -> None:
        """Ask it to end, and end it after `seconds`."""
        if self.returncode() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def is_open(port: int) -> bool:
    """Whether something listens on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(s.getsockname()[1]) for s in sockets]
    finally:
        for s in sockets:
            s.close()


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
