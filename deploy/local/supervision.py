"""When a part that ended is started again: after a pause that grows, with jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streams.retry import backoff

HEALTHY_SECONDS: Final = 60.0
_LEAST_PAUSE: Final = 0.5
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


@dataclass(slots=True)
class _Part:
    started: float
    restarts: int = 0
    failures: int = 0  # ends in a row, none after a healthy minute
    why: str = ""
    due: float | None = None  # while it is down


class Restarts:
    """Parts by name: since when they run, and when those that ended are due. Times in seconds."""

    def __init__(self) -> None:
        self._parts: dict[str, _Part] = {}

    def started(self, name: str, now: float) -> None:
        """Take that a part was started."""
        part = self._parts.setdefault(name, _Part(now))
        part.restarts += part.due is not None
        part.started, part.due = now, None

    def ended(self, name: str, why: str, now: float) -> float | None:
        """Take that a part was found ended; the seconds until it is due, None where it was known.

        After a minute of health the pauses begin with the shortest again.
        """
        part = self._parts[name]
        if part.due is not None:
            return None
        part.failures = 1 if now - part.started >= HEALTHY_SECONDS else part.failures + 1
        part.why = why
        pause = _LEAST_PAUSE + backoff(part.failures - 1, _FIRST_PAUSE, _LONGEST_PAUSE)
        part.due = now + pause
        return pause

    def is_due(self, name: str, now: float) -> bool:
        """Whether a part that ended is to be started now."""
        due = self._parts[name].due
        return due is not None and now >= due

    def told(self, now: float) -> dict[str, dict[str, object]]:
        """What there is to tell of each part: restarts, and while it is down why and for how long.

        `in` is the seconds until it is due.
        """
        return {
            name: {"restarts": part.restarts}
            | ({} if part.due is None else {"why": part.why, "in": max(0.0, part.due - now)})
            for name, part in self._parts.items()
        }
