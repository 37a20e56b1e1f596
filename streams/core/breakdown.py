"""Touchpoints, and distressing ones, by product, region, campaign and channel: bounded counts.

A value has counts of its own once it has come a few times and there is room; the others share
`other`. So values that come once, typing errors or an attack, never make a time series each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from schemas.outcome import JourneyStep
from schemas.touchpoint import CHANNELS
from streams.core.evidence import DAY_MS
from streams.core.signals import is_distressing

DIMENSIONS: Final = ("channel", "product", "region", "campaign")
# breakdown -> its dimensions, by position in `DIMENSIONS`, and how many values have own counts
BREAKDOWNS: Final[dict[str, tuple[tuple[int, ...], int]]] = {
    "channel": ((0,), len(CHANNELS)),
    "product": ((1,), 100),
    "region": ((2,), 100),
    "campaign": ((3,), 100),
    "product_region": ((1, 2), 300),
}
OTHER: Final = "other"
ADMITTED_AFTER: Final = 5  # touchpoints that share `other` before a value has its own counts
IDLE_MS: Final = DAY_MS  # a value that did not come for so long gives way to another
LATE_MS: Final = DAY_MS  # touchpoints that come later than this are history, and not counted
_CANDIDATES: Final = 4  # times as many values as have counts are looked at for admission


class Count(NamedTuple):
    """What one value of a breakdown stands at; `values` as in `DIMENSIONS`, empty where not its."""

    breakdown: str
    values: tuple[str, ...]
    touchpoints: int
    distressing: int


class _Tally:
    """Counts of one breakdown: at most `most` values and `other`; `known` have theirs at once."""

    __slots__ = ("_candidates", "_most", "counts")

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._most = most
        # values -> [touchpoints, distressing, ms of the last]
        self.counts: dict[tuple[str, ...], list[int]] = {(value,): [0, 0, 0] for value in known}
        self._candidates: dict[tuple[str, ...], int] = {}

    def add(self, values: tuple[str, ...], distressing: bool, at_ms: int) -> None:
        found = self.counts.get(values)
        if found is None:
            found = self._admit(values, at_ms)
        found[0] += 1
        found[1] += distressing
        found[2] = at_ms

    def _admit(self, values: tuple[str, ...], at_ms: int) -> list[int]:
        """The value's counts, or those of `other` where it has none yet."""
        other = (OTHER,) * len(values)
        if values != other:
            came = self._candidates.pop(values, 0) + 1
            if came > ADMITTED_AFTER and self._has_room(at_ms):
                return self.counts.setdefault(values, [0, 0, at_ms])
            if came <= ADMITTED_AFTER:  # else it is to come as often again
                self._candidates[values] = came
            if len(self._candidates) > _CANDIDATES * self._most:
                self._candidates = {name: n - 1 for name, n in self._candidates.items() if n > 1}
        return self.counts.setdefault(other, [0, 0, at_ms])

    def _has_room(self, at_ms: int) -> bool:
        own = [name for name in self.counts if name[0] != OTHER]
        if len(own) < self._most:
            return True
        oldest = min(own, key=lambda name: self.counts[name][2])
        if self.counts[oldest][2] > at_ms - IDLE_MS:
            return False
        del self.counts[oldest]
        return True


class Breakdowns:
    """Counts of every breakdown of a process, since it started."""

    def __init__(self) -> None:
        self._tallies = {name: _Tally(most) for name, (_, most) in BREAKDOWNS.items()}
        self._tallies["channel"] = _Tally(len(CHANNELS), CHANNELS)
        self._plan = [(self._tallies[name], at) for name, (at, _) in BREAKDOWNS.items()]

    def count(self, steps: Iterable[JourneyStep]) -> None:
        """Count touchpoints, each into every breakdown of which it has all the values."""
        for step in steps:
            if step.received_ms - step.occurred_ms > LATE_MS:
                continue
            distressing, at_ms, values = is_distressing(step), step.received_ms, values_of(step)
            for tally, positions in self._plan:
                if len(positions) == 1:
                    value = values[positions[0]]
                    if value:
                        tally.add((value,), distressing, at_ms)
                elif all(chosen := tuple(values[at] for at in positions)):
                    tally.add(chosen, distressing, at_ms)

    def __iter__(self) -> Iterator[Count]:
        for name, (positions, _) in BREAKDOWNS.items():
            for chosen, (touchpoints, distressing, _) in self._tallies[name].counts.items():
                values = dict(zip(positions, chosen, strict=True))
                told = tuple(values.get(at, "") for at in range(len(DIMENSIONS)))
                yield Count(name, told, touchpoints, distressing)


def values_of(step: JourneyStep) -> tuple[str, str, str, str]:
    """A touchpoint's channel, product, region and campaign; empty where it has none.

    From the channel's own field, else from a text property of that name.
    """
    fields, told = step.fields, step.properties
    product, region = fields.get("product", ""), fields.get("region", "")
    campaign = fields.get("campaign", "")
    if len(told) > 2 and any(f'"{name}"' in told for name in DIMENSIONS[1:]):
        found = json.loads(told)
        product = product or _text(found.get("product"))
        region = region or _text(found.get("region"))
        campaign = campaign or _text(found.get("campaign"))
    return step.channel, product, region, campaign


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
