"""From a burst of trouble to outreach, in seconds: `python -m bench.alert`.

The same as `tests/integration/test_alert_outreach.py`. First what counting by breakdown costs a
touchpoint, beside reading and scoring it.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from producers.publisher import prepare
from producers.simulator.stream import simulate
from schemas.decode import Rejection, decode
from schemas.outcome import JourneyStep
from streams.core.resolve import step_of, to_ms
from streams.metrics import BreakdownCounters
from tests.integration.test_alert_outreach import MISSING, RULES, run

TOUCHPOINTS = 20_000
CHUNK = 500
TIMES = 5


def main() -> None:
    now = datetime.now(UTC)
    given = (one.touchpoint for one in simulate(TOUCHPOINTS, 1_500, 1, now) if one.touchpoint)
    raw = [prepare(one, b"k", "IR")[1] for one in given]
    reading, steps = min((read(raw, now) for _ in range(TIMES)), key=lambda took: took[0])
    counting = min(count(steps) for _ in range(TIMES))
    print(f"a touchpoint: read and scored {reading:,.0f} ns, by breakdown {counting:,.0f} ns")
    if MISSING:
        print(MISSING)
        return
    with tempfile.TemporaryDirectory() as name:
        rules = Path(name) / "rules.yaml"
        rules.write_text(RULES, encoding="utf-8")
        print(run(Path(name) / "data", rules).told())


def read(raw: list[bytes], now: datetime) -> tuple[float, list[JourneyStep]]:
    """Nanoseconds a touchpoint, and the steps."""
    began, steps = time.process_time_ns(), []
    for one in raw:
        found = decode(one, now)
        if not isinstance(found, Rejection):
            steps.append(step_of(found, to_ms(found.occurred_at), b"k", "IR"))
    return (time.process_time_ns() - began) / len(steps), steps


def count(steps: list[JourneyStep]) -> float:
    """Nanoseconds a touchpoint, in chunks as a worker has them."""
    counters = BreakdownCounters()
    began = time.process_time_ns()
    for n in range(0, len(steps), CHUNK):
        counters.count(steps[n : n + CHUNK])
    return (time.process_time_ns() - began) / len(steps)


if __name__ == "__main__":
    main()
