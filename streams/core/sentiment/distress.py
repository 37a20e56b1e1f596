"""Distress: how likely a customer is beyond annoyed. A noisy-or of weighted cues."""

from collections.abc import Iterable
from typing import Final

# Unit of time -> weight of a wait of one, of each further one, and at most (milli-units).
DURATIONS: Final[dict[int, tuple[int, int, int]]] = {
    1: (90, 7, 450),  # minutes
    2: (330, 40, 600),  # hours
    3: (200, 45, 650),  # days
    4: (420, 80, 720),  # weeks
    5: (580, 50, 780),  # months
    6: (700, 30, 800),  # years
}


def duration_weight(count: int, unit: int) -> int:
    """Weight of having waited `count` units of time, 0 for half a unit, in milli-units."""
    first, further, most = DURATIONS[unit]
    return min(most, first + further * (count - 1)) if count else first * 2 // 3


def noisy_or(weights: Iterable[int]) -> int:
    """1 - product of (1 - weight), all in milli-units: each cue alone may explain distress."""
    calm = 1000
    for weight in weights:
        calm = calm * (1000 - weight) // 1000
    return 1000 - calm
