"""Deaths at the worst moments, one by one; `test_any_history` tries all the others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from uuid import UUID

import pytest

from schemas import topics
from schemas.outcome import Action, JourneyStep, Link
from streams.delivery import partition_of
from tests import oracle
from tests.agents.facts import CALLS, step
from tests.agents.history import Pipeline, written

PARTITIONS = 3
TOUCHPOINTS, LINKS, MEMBERS = topics.TOUCHPOINTS.name, topics.LINKS.name, topics.MEMBERS.name


def visit(pipeline: Pipeline, number: int, *names: tuple[str, str]) -> JourneyStep:
    sent = {
        "event_id": str(UUID(int=number)),
        "occurred_at": f"2026-05-01T10:{number:02}:00Z",
        "identifiers": [{"kind": kind, "value": value} for kind, value in names],
        **CALLS[0],
    }
    row = step(sent)
    pipeline.send(home(row.anchor), row.anchor, json.dumps(sent).encode())
    return row


def home(identifier: str) -> int:
    return partition_of(identifier.encode(), PARTITIONS)


class Nothing(Random):
    """Of a delivery that breaks off, nothing arrives."""

    def randint(self, a: int, b: int) -> int:
        return a


async def die(pipeline: Pipeline, place: tuple[str, int], after: int) -> None:
    """Process a partition, with death in place of the delivery that comes `after` others."""
    crashes = pipeline.crashes
    pipeline.worker.fuse, pipeline.worker.chance = after, Nothing()
    await pipeline.process(place, None)
    assert pipeline.crashes == crashes + 1


def check(
    story: Callable[[Pipeline], Awaitable[list[JourneyStep]]], entries: list[Link] | None = None
) -> None:
    async def live() -> None:
        pipeline = Pipeline(PARTITIONS)
        steps = await story(pipeline)
        await pipeline.settle()
        truth = oracle.identities(oracle.links_of(steps) + (entries or []))
        states = oracle.states(steps, truth.customers)
        assert await pipeline.states() == {name: written(part) for name, part in states.items()}

    asyncio.run(live())


@pytest.mark.parametrize("delivered", [0, 1])
def test_a_touchpoint_is_stored_and_counted_wherever_the_worker_dies(delivered: int) -> None:
    async def live() -> None:
        pipeline = Pipeline(PARTITIONS)
        steps = [visit(pipeline, 1, ("cookie", "k"), ("device", "d"))]
        source = TOUCHPOINTS, home("device:d")
        await die(pipeline, source, after=delivered)  # its outputs, or its state
        await pipeline.settle()
        for log, expected in ((topics.JOURNEYS, 1), (topics.PARTS, 1), (topics.LINKS, 1)):
            found = {r.key for place, kept in pipeline.broker.logs.items()
                     if place[0] == log.name for r in kept}  # fmt: skip
            assert len(found) == expected, log.name
        states = oracle.states(steps, oracle.identities(oracle.links_of(steps)).customers)
        assert await pipeline.states() == {name: written(part) for name, part in states.items()}

    asyncio.run(live())


def test_a_part_sent_but_not_written_down_does_not_stay_behind_when_its_anchor_moves() -> None:
    async def story(pipeline: Pipeline) -> list[JourneyStep]:
        steps = [
            visit(pipeline, 1, ("device", "d")),
            visit(pipeline, 2, ("device", "d"), ("customer", "A")),
        ]
        if home("customer:A") != home("device:d"):
            await pipeline.process((TOUCHPOINTS, home("customer:A")), None)
        await die(pipeline, (TOUCHPOINTS, home("device:d")), after=1)  # parts are out, state is not
        await pipeline.process((TOUCHPOINTS, home("customer:A")), None)
        await pipeline.process((LINKS, 0), None)
        # The move is known before the touchpoint is counted again.
        await pipeline.process((MEMBERS, home("device:d")), None)
        return steps

    check(story)


@pytest.mark.parametrize("delivered", [0, 1, 2])
def test_a_part_moved_before_a_crash_is_taken_back_when_its_anchor_moves_on(delivered: int) -> None:
    join = Link("cookie:k", "device:d", "e-1", 1, "zahra", Action.JOIN, "his browser")
    withdraw = Link("cookie:k", "device:d", "e-2", 2, "zahra", Action.WITHDRAW, "it is not")

    async def story(pipeline: Pipeline) -> list[JourneyStep]:
        steps = [visit(pipeline, 1, ("cookie", "k"))]
        await pipeline.process((TOUCHPOINTS, home("cookie:k")), None)
        pipeline.committed = pipeline.positions.copy()
        pipeline.enter(join)
        await pipeline.process((LINKS, 0), None)
        await die(pipeline, (MEMBERS, home("cookie:k")), after=delivered)
        pipeline.enter(withdraw)
        await pipeline.process((LINKS, 0), 1)
        await pipeline.process((LINKS, 0), 1)
        # Compaction leaves no trace of the first move.
        members = MEMBERS, home("cookie:k")
        pipeline.broker.compact(members, pipeline.broker.ends[members])
        return steps

    check(story, [join, withdraw])


@pytest.mark.parametrize("delivered", [0, 1, 2])
def test_a_move_half_done_is_done_after_the_restart(delivered: int) -> None:
    join = Link("cookie:k", "device:d", "e-1", 1, "zahra", Action.JOIN, "his browser")

    async def story(pipeline: Pipeline) -> list[JourneyStep]:
        steps = [visit(pipeline, 1, ("cookie", "k"))]
        await pipeline.process((TOUCHPOINTS, home("cookie:k")), None)
        pipeline.enter(join)
        await pipeline.process((LINKS, 0), None)
        pipeline.committed = pipeline.positions.copy()
        await die(pipeline, (MEMBERS, home("cookie:k")), after=delivered)
        return steps

    check(story, [join])
