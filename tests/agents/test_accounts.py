"""Accounts live: whatever dies, stands still, moves or is erased, they are the oracle's."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import pytest
from faust.types import TP

from schemas.outcome import AccountHealth, Action, JourneyStep, Link
from streams.core.policy import Policy
from streams.delivery import partition_of
from tests import oracle
from tests.agents.broker import Disk
from tests.agents.facts import step
from tests.agents.history import Pipeline, plain, written
from tests.agents.test_any_history import entry_on

NOON = 1_780_000_000_000  # every touchpoint is before it
HISTORIES = 20  # in each test
MOVES = {
    "send": 6,
    "process": 12,
    "commit": 2,
    "sweep": 1,
    "stop": 3,
    "go on": 3,
    "crash": 2,
    "power cut": 1,
    "revoke": 1,
    "compact": 1,
    "enter": 1,
}
NAMES = [("cookie", "k1"), ("cookie", "k2"), ("device", "d1"), ("customer", "A"), ("email", "x@y")]
DEEDS: list[dict[str, Any]] = [
    {"channel": "web", "type": "page_view"},
    {"channel": "call_center", "type": "call", "wait_seconds": 3000, "resolved": False},
    {"channel": "call_center", "type": "call", "resolved": True},
    {"channel": "web", "type": "login", "account": "B2B-1"},
    {"channel": "web", "type": "login", "account": "B2B-2"},
    {"channel": "web", "type": "login", "account": "B2B-2", "properties": {"role": "champion"}},
    {"channel": "app", "type": "login", "account": "B2B-3", "properties": {"role": "user"}},
]


def touchpoint(number: int, chance: Random) -> dict[str, Any]:
    names = chance.sample(NAMES, chance.choice([1, 1, 2]))
    return {
        "event_id": str(UUID(int=number)),
        "occurred_at": f"2026-05-0{1 + number % 3}T10:{chance.randrange(60):02}:00Z",
        "identifiers": [{"kind": kind, "value": value} for kind, value in names],
        **chance.choice(DEEDS),
    }


async def live(chance: Random, on_disk: bool, in_step: bool) -> None:
    partitions = chance.choice([1, 2, 3])
    pipeline = Pipeline(partitions, [Disk(), Disk(), Disk()] if on_disk else [None])
    steps: list[JourneyStep] = []
    entries: list[Link] = []

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
        elif move == "sweep":
            await pipeline.look(chance)
        elif move == "stop":
            await pipeline.stop(
                place, chance.randint(1, 4), chance.randrange(4), chance.randrange(9)
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
    await pipeline.sweep()
    truth = oracle.identities(oracle.links_of(steps) + entries)
    states = oracle.states(steps, truth.customers)
    assert await pipeline.states() == {name: written(part) for name, part in states.items()}
    expected = of_oracle(states)
    assert await pipeline.accounts() == expected
    # What stands last in the changelogs is all that is left of them, and of the disks.
    pipeline.lose_all_but_the_last(chance)
    if in_step:
        assert await pipeline.accounts() == expected
    await pipeline.sweep()
    assert await pipeline.accounts() == expected


def of_oracle(states: Any) -> dict[str, AccountHealth]:
    found = oracle.accounts(states, NOON, Policy())
    return {name: plain(account) for name, account in found.items()}


@pytest.mark.parametrize("in_step", [False, True])
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_accounts_are_the_oracles_whatever_dies_or_stands_still(
    seed: int, on_disk: bool, in_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where workers' clocks are minutes apart; the newest row may then need a sweep to win."""
    chance, ticks = Random(seed), count(NOON)
    now = ticks.__next__ if in_step else lambda: NOON + chance.randint(-300_000, 300_000)
    monkeypatch.setattr("streams.worker.now_ms", now)
    for number in range(HISTORIES):
        chance = Random(f"{seed} {number}")
        try:
            asyncio.run(live(chance, on_disk, in_step))
        except AssertionError as error:
            pytest.fail(f"history {seed} {number}: {error}")


def sent(number: int, who: str, **deed: Any) -> dict[str, Any]:
    return {
        "event_id": str(UUID(int=number)),
        "occurred_at": f"2026-05-01T10:{number:02}:00Z",
        "identifiers": [{"kind": "customer", "value": who}],
        **deed,
    }


def test_what_a_zombie_says_of_a_contact_late_loses_against_who_knew_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though its clock is ahead, and nobody looks any more."""
    clock = [NOON + 600_000]
    monkeypatch.setattr("streams.worker.now_ms", lambda: clock[0])

    async def story() -> None:
        pipeline = Pipeline(1)
        told = [
            sent(1, "A", **DEEDS[3]),
            sent(2, "A", channel="web", type="login", account="B2B-2"),
            sent(3, "A", channel="call_center", type="call", account="B2B-1", resolved=False),
        ]
        steps = [step(one) for one in told]
        parts, contacts = ("parts", 0), ("accounts.contacts", 0)

        async def read(one: dict[str, Any]) -> None:
            pipeline.send(0, "customer:A", json.dumps(one).encode())
            await pipeline.process(("touchpoints", 0), None)

        await read(told[0])
        await pipeline.settle()
        pipeline.commit_all()
        await read(told[1])
        await pipeline.stop(parts, None, 4, 0)  # the customer is written down, the account not told
        clock[0] = NOON
        await read(told[2])
        await pipeline.process(parts, None)
        await pipeline.process(contacts, None)
        await pipeline.worker.sweep([TP(*parts)])
        (zombie,) = pipeline.zombies
        before = pipeline.broker.ends[contacts]
        zombie.worker.thaw.set()
        await zombie.work
        assert pipeline.broker.ends[contacts] > before
        await pipeline.process(contacts, None)
        assert await pipeline.accounts() == of_oracle(oracle.states(steps, {}))

    asyncio.run(story())
