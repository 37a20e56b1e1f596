"""The circuit breaker of an endpoint: a state machine, the time and the lots being arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

FAILURES: Final = 5  # in a row, after which the endpoint is left alone


class State(IntEnum):
    """Closed lets everything through, open nothing, half-open one attempt at a time."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(slots=True)
class Breaker:
    """Opens after `failures` failures in a row, for a pause that grows until an attempt succeeds.

    `pause` gives the seconds of the n-th pause in a row, n from 0. Times are seconds of any clock
    that never goes back (Nygard, Release It!, 2007).
    """

    pause: Callable[[int], float]
    failures: int = FAILURES
    _failed: int = 0  # in a row
    _pauses: int = 0  # in a row
    _until: float = 0.0  # end of the pause
    _trying: bool = False  # the one attempt of a half-open breaker is under way

    def state(self, now: float) -> State:
        """The state at a moment."""
        if not self._pauses:
            return State.CLOSED
        return State.OPEN if now < self._until else State.HALF_OPEN

    def wait(self, now: float) -> float | None:
        """Seconds until an attempt may begin; None where one under way decides."""
        if not self._pauses:
            return 0.0
        if now < self._until:
            return self._until - now
        return None if self._trying else 0.0

    def begin(self) -> None:
        """Take that an attempt begins, as `wait` allowed."""
        self._trying = self._pauses > 0

    def succeeded(self) -> None:
        """Take that the endpoint answered as it should."""
        self._failed = self._pauses = 0
        self._trying = False

    def failed(self, now: float) -> None:
        """Take that an attempt failed; those begun before a pause do not make it longer."""
        self._failed += 1
        if self._pauses and (now < self._until or not self._trying):
            return
        if self._pauses or self._failed >= self.failures:
            self._until = now + self.pause(self._pauses)
            self._pauses += 1
            self._trying = False

    def abandoned(self) -> None:
        """Take that an attempt ended without saying anything of the endpoint."""
        self._trying = False
