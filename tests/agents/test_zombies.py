"""Workers that stand still, are replaced, and go on: whatever they still write, states are exact.

A small world, so that everybody writes the same keys. `test_any_history` tries the large one.
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from schemas import topics
from schemas.outcome import Action, JourneyStep, Link, Member
from streams.delivery import Outgoing, partition_of
from tests import oracle
from tests.agents.broker import Disk
from tests.agents.facts import CALLS, step
from tests.agents.history import Pipeline, written
from tests.agents.test_any_history import entry_on

HISTORIES = 25  # in each test
MOVES = {
    "send": 5,
    "process": 10,
    "commit": 2,
    "stop": 3,
    "go on": 3,
    "crash": 1,
    "power cut": 1,
    "revoke": 1,
    "compact": 1,
    "enter": 1,
}
NAMES = [("cookie", "k1"), ("cookie", "k2"), ("device", "d1"), ("customer", "A"), ("email", "x@y")]


def touchpoint(number: int, chance: Random) -> dict[str, Any]:
    names = chance.sample(NAMES, chance.choice([1, 1, 2]))
    return {
        "event_id": str(UUID(int=number)),
        "occurred_at": f"2026-05-0{1 + number % 3}T10:{chance.randrange(60):02}:00Z",
        "identifiers": [{"kind": kind, "value": value} for kind, value in names],
        **chance.choice(CALLS),
    }


async def live(chance: Random, on_disk: bool) -> None:
    partitions = chance.choice([1, 1, 2])
    pipeline = Pipeline(partitions, [Disk(), Disk(), Disk()] if on_disk else [None])
    steps: list[JourneyStep] = []
    entries = []

    def send() -> None:
        sent = touchpoint(len(steps) + 1, chance)
        steps.append(step(sent))
        anchor = steps[-1].anchor
        pipeline.send(partition_of(anchor.encode(), partitions), anchor, json.dumps(sent).encode())

    for move in chance.choices(list(MOVES), list(MOVES.values()), k=chance.randint(30, 120)):
        place = chance.choice(pipeline.sources)
        pipeline.worker.chance, pipeline.worker.fuse = chance, None
        if move == "send":
            send()
        elif move in ("process", "crash"):
            pipeline.worker.fuse = chance.randrange(3) if move == "crash" else None
            await pipeline.process(place, chance.randint(1, 4))
        elif move == "stop":
            await pipeline.stop(
                place, chance.randint(1, 4), chance.randrange(3), chance.randrange(9)
            )
        elif move == "go on":
            await pipeline.go_on(chance)
        elif move == "commit":
            pipeline.commit(chance)
        elif move == "compact":
            await pipeline.compact(chance)
        elif move == "revoke":
            await pipeline.revoke(chance.randrange(partitions), chance.randint(1, 4))
        elif move == "power cut":
            pipeline.cut_power(chance)
        elif move == "enter" and len(entries) < 4:
            action = chance.choice([Action.JOIN, Action.WITHDRAW])
            entries.append(entry_on(chance.randrange(45), len(entries) + 1, action))
            pipeline.enter(entries[-1])
    await pipeline.settle()
    truth = oracle.identities(oracle.links_of(steps) + entries)
    states = oracle.states(steps, truth.customers)
    expected = {name: written(part) for name, part in states.items()}
    assert await pipeline.states() == expected
    # What stands last in the changelogs is all that is left of them, and of the disks.
    pipeline.lose_all_but_the_last(chance)
    assert await pipeline.states() == expected
    assert await pipeline.anchors() == expected


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_states_are_the_oracles_whatever_zombies_write(seed: int, on_disk: bool) -> None:
    for number in range(HISTORIES):
        chance = Random(f"{seed} {number}")
        try:
            asyncio.run(live(chance, on_disk))
        except AssertionError:
            pytest.fail(f"history {seed} {number}")


def test_what_a_zombie_tells_of_an_identifier_does_not_stand_last() -> None:
    join = Link("cookie:k", "device:d", "e-1", 1, "zahra", Action.JOIN, "his browser")
    withdraw = Link("cookie:k", "device:d", "e-2", 2, "zahra", Action.WITHDRAW, "it is not")
    links, members = (topics.LINKS.name, 0), (topics.MEMBERS.name, 0)

    late = msgspec.json.encode(Member("cookie:k", "device:d", 1))

    async def live() -> None:
        pipeline = Pipeline(1)
        for entry in (join, withdraw):
            pipeline.enter(entry)
            await pipeline.process(links, None)
        assert epochs(pipeline, "cookie:k") == [1, 2]
        for restart in (False, True):  # also where an owner ended before it looked
            pipeline.broker.append(Outgoing(*members, b"cookie:k", late))
            assert epochs(pipeline, "cookie:k")[-1] == 1
            if restart:
                pipeline.restart()
            await pipeline.audit()
            assert epochs(pipeline, "cookie:k")[-1] == 2
        # A successor that reads the links again tells no less than was told.
        pipeline.restart()
        await pipeline.process(links, 1)
        assert epochs(pipeline, "cookie:k")[-1] == 2

    asyncio.run(live())


def epochs(pipeline: Pipeline, identifier: str) -> list[int]:
    """What `identity.members` has of an identifier, the last last."""
    log = pipeline.broker.logs[topics.MEMBERS.name, 0]
    told = [msgspec.json.decode(record.value, type=Member) for record in log if record.value]
    return [member.epoch for member in told if member.identifier == identifier]


def test_topics_are_not_compacted_before_an_owner_has_looked() -> None:
    for topic in topics.TOPICS:
        if topic.compacted:
            assert int(topic.config(1)["min.compaction.lag.ms"]) >= 600_000
