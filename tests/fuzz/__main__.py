"""`make fuzz`: hostile records between valid neighbours, in process and through a whole stack.

Exit code 0 where every record was treated as it had to be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from deploy.local.stack import Stack
from schemas.settings import load
from tests.fuzz import in_process, pipeline
from tests.fuzz.expected import Account
from tests.fuzz.records import samples
from tests.servers import BROKER

_NEIGHBOURS: Final = 0.2  # plain valid records among them


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=1_250_000, help="in process")
    parser.add_argument("--pipeline", type=int, default=200_000, help="through a stack")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    wrong = 0
    if arguments.records:
        found = in_process.run(samples(arguments.seed, arguments.records, _NEIGHBOURS))
        wrong += _tell("decode, resolve and the sink's decoding, in process", *found)
    if arguments.pipeline:
        with tempfile.TemporaryDirectory() as folder:
            settings = load(BROKER | {"JOURNEY_DEAD_LETTER_LIMIT": "1"}, data=Path(folder))
            stack = Stack(settings, workers=1, port_base=None, report=lambda *_: None)
            stack.start(fresh=True)
            try:
                records = samples(arguments.seed + 1, arguments.pipeline, _NEIGHBOURS)
                found = pipeline.run(stack.settings, records)
            finally:
                stack.stop(drain=False)
        wrong += _tell("broker, worker, sink and database", *found)
    return 1 if wrong else 0


def _tell(title: str, account: Account, seconds: float) -> int:
    rate = account.sent.total() / seconds
    print(f"\n{title}: {seconds:,.0f} s, {rate:,.0f} records/s")
    print("\n".join(account.lines()), flush=True)
    return len(account.wrong)


if __name__ == "__main__":
    sys.exit(main())
