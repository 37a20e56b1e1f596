"""The simulation sent to Kafka, counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from producers.publisher import Publisher, prepare
from producers.simulator.stream import Simulated

_EVERY: Final = 256  # records between looks at the clock and reports of progress


@dataclass(frozen=True, slots=True)
class SimulationCounts:
    """What was sent and acknowledged; `sent` is the sum of the others."""

    sent: int
    valid: int
    duplicates: int
    malformed: int


def publish_simulation(
    records: Iterable[Simulated],
    publisher: Publisher,
    key: bytes,
    region: str,
    rate: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> SimulationCounts:
    """Send what `simulate` yields, at most `rate` records a second where given.

    `progress` gets the records sent so far. Returns once all are acknowledged; raises PublishError.
    """
    counts: Counter[str] = Counter()
    began = time.monotonic()
    sent = 0
    for kind, touchpoint, raw in records:
        if touchpoint is not None:
            anchor, wire = prepare(touchpoint, key, region)
            publisher.publish(wire, anchor)
        elif raw is not None:
            publisher.publish(raw, f"malformed:{counts[kind]}")
        counts[kind] += 1
        sent += 1
        if sent % _EVERY == 0:
            progress(sent)
            if rate is not None:
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
    publisher.flush()
    progress(sent)
    return SimulationCounts(sent, counts["valid"], counts["duplicate"], counts["malformed"])
