"""What a supervisor asks beside whether a process runs: whether it gets on, by its /live."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Final

_EVERY: Final = 2.0  # seconds
_TIMEOUT: Final = 1.5
_PATIENCE: Final = 40.0  # without an answer; links are cut and processes stopped for 15


class Liveness:
    """A thread that asks processes at their addresses and remembers who is stuck.

    One is when it says so itself, or has not answered for long since it was started.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._answered: dict[str, float] = {}
        self._stuck: set[str] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="liveness", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._end.set()

    def expect(self, name: str) -> None:
        """Take that a process was started just now."""
        if name in self._addresses:
            self._answered[name] = time.monotonic()
            self._stuck.discard(name)

    def is_stuck(self, name: str) -> bool:
        """Whether the process that was started last does not get on."""
        late = time.monotonic() - self._answered.get(name, time.monotonic()) > _PATIENCE
        return name in self._stuck or late

    def _run(self) -> None:
        while not self._end.wait(_EVERY):
            for name in list(self._answered):
                asked = time.monotonic()
                live = _live(f"http://{self._addresses[name]}/live")
                if asked < self._answered[name]:
                    continue  # another process by now
                if live is not None:
                    self._answered[name] = time.monotonic()
                if live is False:
                    self._stuck.add(name)


def _live(url: str) -> bool | None:
    """What it says; None where it does not answer."""
    try:
        urllib.request.urlopen(url, timeout=_TIMEOUT).close()
    except urllib.error.HTTPError as refusal:
        return refusal.code != 503
    except OSError:
        return None
    return True
