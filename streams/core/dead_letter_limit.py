"""When rejections are no longer single records but a fault: a topic is not drained into them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

WINDOW: Final = 1_000  # records of a partition


class TooManyDeadLetters(Exception):
    """The share of dead letters is over the limit; names the reasons, the setting and the fix."""

    def __init__(self, topic: str, partition: int, reasons: Counter[str], limit: float) -> None:
        told = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
        super().__init__(
            f"{topic} partition {partition}: {reasons.total():,} of the last {WINDOW:,} records "
            f"would be dead letters ({told}), more than JOURNEY_DEAD_LETTER_LIMIT={limit:g} "
            "allows; nothing of them is written: fix the producer or the contract, or raise the "
            "limit to let them through"
        )
        self.reasons = reasons


class Verdicts:
    """What became of the last 1,000 records of a partition: the reason, or None where accepted."""

    def __init__(self, earlier: Iterable[str | None] = ()) -> None:
        self._last = deque(earlier, maxlen=WINDOW)
        self._reasons = Counter(reason for reason in self._last if reason is not None)

    @property
    def share(self) -> float:
        """Dead letters among them, 0..1; of fewer than 1,000 records too."""
        return self._reasons.total() / len(self._last) if self._last else 0.0

    def take(self, reasons: Iterable[str | None], limit: float) -> Counter[str] | None:
        """Add records in order; the reasons in the first window with more than `limit` rejected.

        A window is 1,000 records, wherever chunks begin and end. It is looked at when it ends in
        a rejection, so that records accepted again never stop anything.
        """
        most = limit * WINDOW
        for reason in reasons:
            if len(self._last) == WINDOW:
                oldest = self._last[0]
                if oldest is not None:
                    self._reasons[oldest] -= 1
            self._last.append(reason)
            if reason is not None:
                self._reasons[reason] += 1
                if len(self._last) == WINDOW and self._reasons.total() > most:
                    return +self._reasons
        return None
