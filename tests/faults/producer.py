"""The run's producer: goes on from where its acknowledgements end, however often it dies.

Run it with `python -m tests.faults.producer`. It sends at least once: what was sent and not yet
known to be acknowledged is sent again by the next one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

from producers.publisher import Publisher, PublishError
from schemas.settings import Settings, load
from tests.faults import stream

_EVERY: Final = 64  # records between looks at the clock and notes of what was acknowledged


def acknowledged(path: Path) -> int:
    """How many records of the stream, from its first on, the broker is known to have."""
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.faults.producer")
    parser.add_argument("--stream", type=Path, required=True)
    parser.add_argument("--acknowledged", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True, help="records a second")
    parser.add_argument("--began", type=float, required=True, help="when the run began, epoch")
    options = parser.parse_args()
    settings = load()
    while True:
        try:
            _send(settings, options)
        except PublishError as error:
            print(f"{error}; going on from the last acknowledged", flush=True)
        else:
            return


def _send(settings: Settings, options: argparse.Namespace) -> None:
    start = acknowledged(options.acknowledged)
    with Publisher(settings) as publisher:
        for number, (key, value) in enumerate(stream.read(options.stream, start), start):
            publisher.publish(value, key)
            if number % _EVERY == 0:
                _note(options.acknowledged, start + publisher.delivered)
                time.sleep(max(0.0, options.began + number / options.rate - time.time()))
        publisher.flush()
        _note(options.acknowledged, start + publisher.delivered)


def _note(path: Path, count: int) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(str(count))
    fresh.replace(path)


if __name__ == "__main__":
    main()
