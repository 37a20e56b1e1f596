"""What every process does around its work: what it logs, and how it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable


def log_to_stderr() -> None:
    """A line for each event of ours; an outage is told once, by us and not by the clients."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("aiokafka", "clickhouse_driver", "kafka"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


async def until_signalled(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Serve with an event that SIGTERM and SIGINT set. Raises what `serve` raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await serve(stop)
