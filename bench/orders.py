"""Four orders over the running pipeline at full size: `python -m bench.orders [N] [customers]`.

The same as `tests/integration/test_orders.py`, with 50,000 touchpoints of 2,000 customers.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.integration.test_orders import ORDERS, simulated, told_by_a_fresh_stack


def main(count: int = 50_000, customers: int = 2_000) -> None:
    touchpoints = simulated(count, customers)
    runs = [(name, 1, "") for name in ORDERS]
    runs += [("shuffled", 2, ""), ("shuffled", 1, "worker-1"), ("shuffled", 2, "worker-1")]
    expected = ""
    with tempfile.TemporaryDirectory() as folder:
        for number, (order, workers, kill) in enumerate(runs):
            began = time.monotonic()
            told = told_by_a_fresh_stack(
                Path(folder) / str(number), ORDERS[order](touchpoints), workers, kill
            )
            expected = expected or told
            assert told == expected, f"{order}, {workers} workers, {kill or 'nothing'} killed"
            print(
                f"{order:10} {workers} workers {kill and 'one killed':10} "
                f"{len(told):,} bytes, {told.count(chr(10)):,} customers, the same, "
                f"{time.monotonic() - began:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
