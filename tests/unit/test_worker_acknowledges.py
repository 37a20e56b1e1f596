"""A worker acknowledges a chunk, so that Faust commits it, once its outputs and state are written.

What was not acknowledged is read again by whoever comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from schemas import topics
from streams import app as module
from streams.delivery import OwnershipLost
from streams.store import Released
from streams.transport import Chunk

CHUNKS = 3


class Stream:
    """What an agent reads: some chunks of two records of a partition."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    def noack(self) -> Stream:
        return self

    async def events(self) -> AsyncIterator[Any]:
        tp = TP(topics.TOUCHPOINTS.name, 0)
        for n in range(CHUNKS):
            records = [
                SimpleNamespace(topic=tp.topic, partition=0, offset=2 * n + i) for i in (0, 1)
            ]
            message = SimpleNamespace(value=records, tp=tp, generation_id=1)
            yield SimpleNamespace(
                message=message, ack=lambda n=n: self._happened.append(f"acknowledged {n}")
            )


class App:
    """Faust's app, as far as an agent is defined by it."""

    consumer_generation_id = 1

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened
        self.run: Callable[[Stream], Awaitable[None]]

    def topic(self, *_: Any, **__: Any) -> None:
        return None

    def agent(self, _topic: None, name: str) -> Callable[[Any], None]:
        return lambda run: setattr(self, "run", run)

    async def crash(self, error: BaseException) -> None:
        self.happened.append(f"crashed by {type(error).__name__}")


def run(fault: BaseException | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to the chunks, the second of which meets a fault."""
    happened: list[str] = []
    monkeypatch.setattr(module, "_crash", lambda app, error: app.crash(error))

    async def handle(chunk: Chunk) -> None:
        n = chunk[0].offset // 2
        await asyncio.sleep(0)
        if n == 1 and fault is not None:
            raise fault
        happened.append(f"wrote {n}")

    app = App(happened)
    worker: Any = SimpleNamespace(app=app, done={}, waiting=set())
    module._agent(worker, "resolve", handle, topics.TOUCHPOINTS)
    try:
        asyncio.run(app.run(Stream(happened)))  # type: ignore[arg-type]
    except OSError as error:
        happened.append(f"ended by {type(error).__name__}")
    return happened


def test_a_chunk_is_acknowledged_after_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    each = [(f"wrote {n}", f"acknowledged {n}") for n in range(CHUNKS)]
    assert run(None, monkeypatch) == [what for pair in each for what in pair]


def test_a_chunk_that_was_not_written_ends_the_worker_unacknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run(OSError("disk"), monkeypatch) == [
        *("wrote 0", "acknowledged 0"),
        *("crashed by OSError", "ended by OSError"),
    ]


@pytest.mark.parametrize("fault", [Released(), OwnershipLost()])
def test_what_comes_after_a_partition_was_taken_away_is_left_to_its_next_owner(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chunk after it too: its offset committed, nobody would read the one before."""
    assert run(fault, monkeypatch) == ["wrote 0", "acknowledged 0"]
