"""What health costs: apply and score a touchpoint, on one core, over a simulated company.

    python -m bench.health

Every touchpoint is applied to its customer's part and the customer is scored at once. Side by
side: the same with a history of 300 days in every part.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from producers.simulator import simulate
from schemas.outcome import JourneyStep
from schemas.state import AnchorState, Part
from schemas.touchpoint import TOUCHPOINT
from streams.core.health import score
from streams.core.journey import DAY_MS, CustomerState, apply
from streams.core.policy import Policy
from streams.core.resolve import step_of, update_of
from streams.core.stitch import evaluate
from streams.rules import load_rules

TOUCHPOINTS = 20_000
CUSTOMERS = 1_000
HISTORY_DAYS = 300
AIM_MICROSECONDS = 10.0
ROUNDS = 5


def main() -> int:
    """Print microseconds a touchpoint; exit code 1 where apply and score miss the aim."""
    steps = ledger()
    policy = Policy()
    told: dict[str, Part] = {}
    for step in steps:
        apply(told.setdefault(step.anchor, Part()), step)
    eventful = sum(len(part.days) for part in told.values()) / len(told)
    days = sum(len(part.visits) for part in told.values()) / len(told)
    print(
        f"{len(steps):,} touchpoints of {len(told):,} customers; in the end {days:.1f} days with "
        f"visits and {eventful:.1f} eventful days each; best of {ROUNDS}, CPU µs a touchpoint"
    )
    gc.collect()
    gc.freeze()  # the ledger in memory is this script's, not the worker's
    applied = best(lambda: run(steps, policy, scored=False))
    both = best(lambda: run(steps, policy, scored=True))
    long = best(lambda: run(steps, policy, scored=True, history=True))
    whole = best(lambda: run_evaluate(steps, policy))
    print(f"apply                                   {applied:6.2f}")
    print(f"apply + score                           {both:6.2f}   aim {AIM_MICROSECONDS:.0f}")
    print(f"apply + score, {HISTORY_DAYS} days of visits before {long:6.2f}")
    print(f"apply + evaluate (value, row, outreach) {whole:6.2f}")
    return 0 if both <= AIM_MICROSECONDS else 1


def ledger() -> list[JourneyStep]:
    """The simulation's valid touchpoints as ledger rows."""
    until = datetime(2026, 11, 22, tzinfo=UTC)
    steps = [
        step_of(TOUCHPOINT.validate_python(record.touchpoint), 0, b"bench", "IR")
        for record in simulate(TOUCHPOINTS, CUSTOMERS, seed=7, until=until)
        if record.touchpoint is not None
    ]
    return by_customer(steps)


def by_customer(steps: list[JourneyStep]) -> list[JourneyStep]:
    """The rows with their customer for an anchor: identifiers seen together are one customer's."""
    leads: dict[str, str] = {}

    def customer_of(name: str) -> str:
        while (lead := leads.get(name, name)) != name:
            name = lead
        return name

    for step in steps:
        first, *others = sorted({customer_of(name) for name in step.identifiers})
        leads.update(dict.fromkeys(others, first))
    return [msgspec.structs.replace(step, anchor=customer_of(step.anchor)) for step in steps]


def best(measure: Callable[[], float]) -> float:
    """Microseconds of the fastest round."""
    return min(measure() for _ in range(ROUNDS))


def run(steps: list[JourneyStep], policy: Policy, scored: bool, history: bool = False) -> float:
    """Microseconds a touchpoint."""
    parts = {step.anchor: Part() for step in steps}
    if history:
        first = min(step.occurred_ms for step in steps) // DAY_MS
        for part in parts.values():
            part.visits = dict.fromkeys(range(first - HISTORY_DAYS, first), 2)
            part.n = 2 * HISTORY_DAYS
            part.first_ms = (first - HISTORY_DAYS) * DAY_MS
    total = 0
    began = time.process_time()
    if scored:
        for step in steps:
            part = parts[step.anchor]
            apply(part, step)
            total += score(part, step.occurred_ms, policy).score
    else:
        for step in steps:
            apply(parts[step.anchor], step)
    took = time.process_time() - began
    counted = sum(part.n for part in parts.values()) - (2 * HISTORY_DAYS * len(parts) * history)
    assert counted == len(steps), "touchpoints went missing"
    assert not scored or 40 * len(steps) < total < 100 * len(steps), "health is implausible"
    return 1e6 * took / len(steps)


def run_evaluate(steps: list[JourneyStep], policy: Policy) -> float:
    """Microseconds a touchpoint where each is stitched as the agent does it."""
    anchors = {step.anchor: AnchorState() for step in steps}
    customers = {anchor: CustomerState() for anchor in anchors}
    ruleset = load_rules(None)
    began = time.process_time()
    for step in steps:
        state = anchors[step.anchor]
        apply(state.part, step)
        customer = customers[step.anchor]
        assert customer.take(update_of(step.anchor, state, 0))
        evaluate(step.anchor, customer, {}, step.occurred_ms, policy, ruleset)
    return 1e6 * (time.process_time() - began) / len(steps)


if __name__ == "__main__":
    sys.exit(main())
