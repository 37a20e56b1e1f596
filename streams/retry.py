"""How long to wait before another try of what failed."""

from __future__ import annotations

import random
from typing import Final

_FIRST: Final = 0.2
_LONGEST: Final = 10.0


def backoff(attempt: int, first: float = _FIRST, longest: float = _LONGEST) -> float:
    """Seconds before another try: drawn from 0 to first, 2 first, 4 first, … longest.

    Full jitter, so that those who failed together do not come back together (Brooker,
    "Exponential backoff and jitter", AWS, 2015). `attempt` counts from 0.
    """
    return random.uniform(0, min(longest, first * 2.0 ** min(attempt, 30)))  # noqa: S311
