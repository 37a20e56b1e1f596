"""Whether a process moves though it should: what `/live` and `/ready` answer.

The edge says what waits, what moved and which dependency is away; times are seconds of any clock
that never goes back. One thread writes and others may read: every mapping is replaced whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

_SLOW_SHARE: Final = 1 / 3  # of the time after which a lane is stuck


class Lane(NamedTuple):
    """A place where work waits; `mark` changes whenever some of it was done."""

    waiting: bool
    mark: Hashable


class _Seen(NamedTuple):
    lane: Lane
    since: float  # when it last moved, or had nothing to do


class _Away(NamedTuple):
    since: float
    why: str


class Progress:
    """A process is stuck where work waits and nothing moved for `stuck_seconds`.

    While a dependency is away nothing is stuck, since a restart would not bring it back; the time
    counts from its return.
    """

    def __init__(self, stuck_seconds: float, now: float) -> None:
        self.stuck_seconds = stuck_seconds
        self._seen: Mapping[str, _Seen] = {}
        self._away: Mapping[str, _Away] = {}
        self._unready: Mapping[str, str] = {"process": "starts"}
        self._ticked = self._returned = now

    def observe(self, lanes: Mapping[str, Lane], unready: Mapping[str, str], now: float) -> None:
        """Take how things are; called every second or so by the loop that is observed.

        `unready` says what the process has to do before it can work, by name.
        """
        self._seen = {name: self._look(name, lane, now) for name, lane in lanes.items()}
        self._unready = dict(unready)
        self._ticked = now

    def away(self, dependency: str, why: str, now: float) -> bool:
        """Take that an attempt to reach a dependency failed; whether its outage begins."""
        known = self._away.get(dependency)
        self._away = {**self._away, dependency: _Away(known.since if known else now, why)}
        return known is None

    def back(self, dependency: str, now: float) -> float | None:
        """Take that an attempt succeeded; the seconds of the outage that ends, if there was one."""
        known = self._away.get(dependency)
        if known is None:
            return None
        self._away = {name: one for name, one in self._away.items() if name != dependency}
        self._returned = now
        return now - known.since

    def stuck(self, now: float) -> dict[str, str]:
        """What does not move though it should; empty where the process is live."""
        silent = now - self._ticked
        if silent > self.stuck_seconds:
            return {"event loop": f"has not run for {silent:.0f} s"}
        return {} if self._away else self._unmoved(now, self.stuck_seconds)

    def unready(self, now: float) -> dict[str, str]:
        """Why the process is not ready: stuck or slow to move, starting, or a dependency away."""
        return {
            **self._unready,
            **({} if self._away else self._unmoved(now, self.stuck_seconds * _SLOW_SHARE)),
            **self.stuck(now),
            **{
                name: f"away for {now - one.since:.0f} s: {one.why}"
                for name, one in self._away.items()
            },
        }

    def _look(self, name: str, lane: Lane, now: float) -> _Seen:
        known = self._seen.get(name)
        moved = known is None or not lane.waiting or known.lane != lane
        return _Seen(lane, now if moved or known is None else known.since)

    def _unmoved(self, now: float, limit: float) -> dict[str, str]:
        still = {
            name: now - max(seen.since, self._returned)
            for name, seen in self._seen.items()
            if seen.lane.waiting
        }
        return {
            name: f"work waits and nothing has moved for {seconds:.0f} s"
            for name, seconds in still.items()
            if seconds > limit
        }
