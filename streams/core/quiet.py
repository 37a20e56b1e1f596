"""Quiet hours: when a customer is left alone, by the clock where the customer is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

_AHEAD: Final = 9  # days: more than a week, since every weekday but one may be quiet
_MIDNIGHT: Final = time()


@dataclass(frozen=True, slots=True)
class Quiet:
    """Quiet from `start` to `end`, over midnight where `end` is earlier; equal means never.

    `days` are quiet as a whole, 0 for Monday as `datetime.weekday` counts.
    """

    start: time = _MIDNIGHT
    end: time = _MIDNIGHT
    days: frozenset[int] = frozenset()

    def covers(self, at_ms: int, zone: tzinfo) -> bool:
        """Whether a moment is quiet, by the wall clock of the zone."""
        wall = _wall(at_ms, zone)
        if wall.weekday() in self.days:
            return True
        clock = wall.time()
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def opens(self, at_ms: int, zone: tzinfo) -> int:
        """The moment itself where it is not quiet, else when quiet ends (epoch ms)."""
        if not self.covers(at_ms, zone):
            return at_ms
        return next(edge for edge in _edges(at_ms, zone, self.end) if not self.covers(edge, zone))

    def closes(self, at_ms: int, zone: tzinfo) -> int:
        """When it is next quiet: the moment itself where it is; a day on at most."""
        if self.covers(at_ms, zone):
            return at_ms
        last = at_ms + 86_400_000
        edges = (edge for edge in _edges(at_ms, zone, self.start) if edge < last)
        return next((edge for edge in edges if self.covers(edge, zone)), last)


NEVER: Final = Quiet()


@lru_cache(maxsize=1 << 10)
def zone_of(name: str, default: str) -> tzinfo:
    """The zone of a name that a producer sent; the default where there is no such zone.

    Raises ZoneInfoNotFoundError where the default does not exist.
    """
    try:
        return ZoneInfo(name or default)
    except (ValueError, OSError, KeyError):  # KeyError: ZoneInfoNotFoundError
        return ZoneInfo(default)


def day_of(at_ms: int, zone: tzinfo) -> int:
    """The calendar day of a moment in a zone, counted from year 1."""
    return _wall(at_ms, zone).toordinal()


def _wall(at_ms: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)


def _edges(at_ms: int, zone: tzinfo, clock: time) -> list[int]:
    """Moments after this one at which quiet may begin or end, in order.

    They are midnight, `clock`, and where the wall clock itself is changed.
    """
    today = _wall(at_ms, zone).date()
    days = [datetime.combine(today + timedelta(n), _MIDNIGHT, zone) for n in range(_AHEAD)]
    found = {
        int(datetime.combine(day, at, zone).replace(fold=fold).timestamp())
        for day in days
        for at in (_MIDNIGHT, clock)
        for fold in (0, 1)
    }
    noons = [int(day.timestamp()) + 43_200 for day in days]
    for before, after in pairwise([at_ms // 1000, *noons]):
        if _offset(before, zone) != _offset(after, zone):
            found.add(_changed(before, after, zone))
    return sorted(second * 1000 for second in found if second * 1000 > at_ms)


def _changed(before: int, after: int, zone: tzinfo) -> int:
    """The second between two at which the zone has another offset for the first time."""
    was = _offset(before, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(middle, zone) == was:
            before = middle
        else:
            after = middle
    return after


def _offset(second: int, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
