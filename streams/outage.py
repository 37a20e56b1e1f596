"""Reading through an outage of the broker: what is transient, and trying again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final, Protocol, TypeVar

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from streams.retry import backoff

RECOVERY: Final = "kafka_recovery"
S = TypeVar("S")
Load = Callable[[int, int | None], Coroutine[Any, Any, S]]


class Outage(Protocol):
    """Where the outages of a dependency are told."""

    def away(self, dependency: str, why: str) -> None:
        """An attempt to reach it failed."""

    def back(self, dependency: str) -> None:
        """An attempt succeeded."""


def is_transient(error: KafkaError) -> bool:
    """Whether the same request may succeed later."""
    return error.retriable or isinstance(error, KafkaTimeoutError)


def patiently(load: Load[S], outage: Outage) -> Load[S]:
    """`load` of a partition's state, from its beginning again while the broker is away."""

    async def again(partition: int, before: int | None) -> S:
        for attempt in count():
            reading = asyncio.ensure_future(load(partition, before))
            try:
                await asyncio.wait([reading])
            finally:
                reading.cancel()
            # aiokafka cancels what waits for a connection that is closed.
            error = KafkaConnectionError() if reading.cancelled() else reading.exception()
            if not (isinstance(error, KafkaError) and is_transient(error)):
                outage.back(RECOVERY)
                return reading.result()
            outage.away(RECOVERY, type(error).__name__)
            await asyncio.sleep(backoff(attempt))
        raise AssertionError

    return again
