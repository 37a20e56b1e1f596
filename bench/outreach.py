"""A crowd crosses a rule at once, and every worker is killed: `python -m bench.outreach [N]`.

The same as `tests/integration/test_outreach.py`, with 10,000 customers: caps, budget, holdout and
consent are checked exactly, and the latency of decisions is printed. First the guard alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from deploy.local.scrape import quantile, scrape
from streams.core.evidence import DAY_MS
from streams.core.guard import Guard
from streams.core.rules import Cap, Limits, RuleSet
from tests.integration.journey import Running, journey, running, until, write_ndjson
from tests.integration.test_outreach import check, cross, crowd, decisions, written_rules
from tests.unit.test_outreach_guard import RULES, request

CALM = 100  # customers that a stack decides on without a backlog


def main(customers: int = 10_000) -> None:
    alone(customers)
    with tempfile.TemporaryDirectory() as name:
        for crowd_, killed in ((CALM, False), (customers, False), (customers, True)):
            folder = Path(name) / f"{crowd_}-{killed}"
            folder.mkdir()
            whole(folder, crowd_, killed)


def whole(folder: Path, customers: int, killed: bool) -> None:
    """A crowd on a stack of its own."""
    rules = written_rules(folder, customers)
    file = write_ndjson(folder / "crowd.ndjson", crowd(customers))
    with running(folder / "data", "up", rules_file=rules) as stack:
        began = time.monotonic()
        if killed:
            told = f"workers killed after {cross(stack, file, customers):,} decisions"
        else:
            assert journey(stack.data, "import", str(file)).returncode == 0
            until(lambda: len(decisions(stack)) >= customers, "not everybody is decided on")
            if customers > CALM:
                check(decisions(stack), customers)
            told = latency(stack)
        took = time.monotonic() - began
    print(f"{customers:,} customers decided in {took:.1f} s: {told}", flush=True)


def alone(customers: int) -> None:
    """The pure guard: microseconds a decision."""
    limits = Limits(
        customer_cap=Cap(2, 7 * DAY_MS), account_cap=Cap(5, 7 * DAY_MS), budget=customers
    )
    guard = Guard(RuleSet(RULES, limits))
    asked = [request(n, f"customer:{n}", account=f"account:{n % 500}") for n in range(customers)]
    began = time.process_time()
    for one in asked:
        assert guard.decide(one, 20_600 * DAY_MS) is not None
    took = time.process_time() - began
    print(f"the guard alone: {1e6 * took / customers:.1f} µs a decision")


def latency(stack: Running) -> str:
    """From the broker taking a touchpoint to the decision, and from the request to it."""
    recorded = json.loads((stack.data / "stack.json").read_text())["metrics"]
    pages = [scrape(port) for name, port in recorded.items() if name.startswith("worker")]
    whole = [quantile(pages, "journey_outreach_seconds", q) for q in (0.5, 0.99)]
    client = stack.clickhouse()
    asked = client.execute(
        "SELECT quantiles(0.5, 0.99)(toUnixTimestamp64Milli(decided_at) - "
        "toUnixTimestamp64Milli(requested_at)) FROM outreach"
    )[0][0]
    client.disconnect()
    return (
        f"touchpoint to decision p50 {1000 * whole[0]:,.0f} ms, p99 {1000 * whole[1]:,.0f} ms; "
        f"request to decision p50 {asked[0]:,.0f} ms, p99 {asked[1]:,.0f} ms"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
