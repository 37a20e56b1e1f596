"""Whatever the timing, crashes and entries: every customer's state is the oracle's, bit for bit."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.outcome import Action, Link
from streams.delivery import partition_of
from tests import oracle
from tests.agents.broker import Disk
from tests.agents.facts import CALLS, NAMES, several, step
from tests.agents.history import Pipeline, written

PARTITIONS = 3
# An entry on the nth pair that could be seen; many of the pairs never are.
entries = st.lists(
    st.tuples(st.integers(0, 44), st.sampled_from([Action.JOIN, Action.WITHDRAW])), max_size=4
)
MOVES = ["process"] * 12 + ["commit"] * 3 + ["crash", "restart", "revoke", "compact", "enter"]
ZOMBIES = ["stop", "go on", "power cut"]


def several_of(names: list[str]) -> st.SearchStrategy[list[tuple[str, int]]]:
    """10 to 60 moves, each with a number that decides what it does."""
    move = st.tuples(st.sampled_from(names), st.integers(0, 2**16))
    return st.integers(10, 60).flatmap(lambda size: st.lists(move, min_size=size, max_size=size))


moves = several_of(MOVES)


def entry_on(pair: int, number: int, action: Action) -> Link:
    names = sorted(i for kind, value in NAMES[:-1] for i in step(seen(kind, value)).identifiers)
    pairs = [(a, b) for a in names for b in names if a < b]
    return Link(*pairs[pair], str(UUID(int=number)), number, "operator", action, "told so")


def seen(kind: str, value: str) -> dict[str, Any]:
    name = {"kind": kind, "value": value}
    return {
        "event_id": str(UUID(int=1)),
        "occurred_at": "2026-05-01T00:00:00Z",
        "identifiers": [name],
        **CALLS[0],
    }


async def play(pipeline: Pipeline, script: list[tuple[str, int]], waiting: list[Link]) -> None:
    for move, number in script:
        chance = Random(number)
        place = pipeline.sources[number % len(pipeline.sources)]
        if move in ("process", "crash"):
            pipeline.worker.chance = chance
            pipeline.worker.fuse = chance.randrange(2) if move == "crash" else None
            await pipeline.process(place, 1 + number // 16 % 5)
        elif move == "commit":
            pipeline.commit(chance)
        elif move == "compact":
            await pipeline.compact(chance)
        elif move == "enter" and waiting:
            pipeline.enter(waiting.pop(0))
        elif move == "restart":
            pipeline.restart(number)
        elif move == "stop":
            await pipeline.stop(place, 1 + number // 16 % 5, number % 3, disk=number)
        elif move == "go on":
            await pipeline.go_on(chance)
        elif move == "power cut":
            pipeline.cut_power(chance)
        elif move == "revoke":
            await pipeline.revoke(number % pipeline.partitions, 1 + number // 16 % 5)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(several(14), entries, several_of(MOVES + ZOMBIES), st.integers(0, 9), st.booleans())
def test_states_are_the_oracles(
    sent: list[dict[str, Any]],
    decided: list[tuple[int, Action]],
    script: list[tuple[str, int]],
    twice: int,
    on_disk: bool,
) -> None:
    steps = [step(touchpoint) for touchpoint in sent]
    operator = [entry_on(pair, n + 1, action) for n, (pair, action) in enumerate(decided)]
    truth = oracle.identities(oracle.links_of(steps) + operator)
    expected = {name: written(part) for name, part in oracle.states(steps, truth.customers).items()}

    async def live() -> None:
        pipeline = Pipeline(PARTITIONS, [Disk(), Disk(), Disk()] if on_disk else [None])
        for number, (touchpoint, row) in enumerate(zip(sent, steps, strict=True)):
            raw = json.dumps(touchpoint).encode()
            home = partition_of(row.anchor.encode(), PARTITIONS)
            # Some come with a key that is not their anchor's, some come twice.
            stray = number % 5 == twice % 5
            pipeline.send((home + stray) % PARTITIONS, row.anchor, raw)
            if number % 3 == twice % 3:
                pipeline.send(home, row.anchor, raw)
        waiting = list(operator)
        await play(pipeline, script, waiting)
        for entry in waiting:
            pipeline.enter(entry)
        await pipeline.settle()
        assert await pipeline.states() == expected
        ledger = [
            name_of(record.value)
            for (topic, _), log in pipeline.broker.logs.items()
            if topic == topics.JOURNEYS.name
            for record in log
        ]
        assert set(ledger) == {(row.anchor, row.event_id) for row in steps}
        # What stands last in the changelogs is all that is left of them, and of the disks.
        pipeline.lose_all_but_the_last(Random(twice))
        assert await pipeline.states() == expected
        assert await pipeline.anchors() == expected

    asyncio.run(live())


def name_of(value: bytes | None) -> tuple[str, str]:
    row = json.loads(value or b"{}")
    return row["anchor"], row["event_id"]
