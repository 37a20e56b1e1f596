"""Ten thousand at once, deaths in the middle: no limit is exceeded and nobody is reached twice."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from uuid import UUID

import msgspec
import pytest
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import topics
from schemas.outcome import JourneyStep, OutreachDecision, OutreachRequest
from streams.agents.resolve import now_utc
from streams.core.evidence import DAY_MS
from streams.core.guard import held_out
from streams.core.rules import Cap, Limits, RuleSet
from streams.delivery import Outgoing, partition_of
from streams.rules import load_rules
from tests.agents.broker import Broker, Crashed, ListWorker
from tests.agents.facts import step
from tests.agents.history import SETTINGS, Pipeline
from tests.unit.test_outreach_guard import RULES, request

LIMITS = Limits(
    customer_cap=Cap(2, 4 * DAY_MS),
    account_cap=Cap(3, 4 * DAY_MS),
    budget=9,
    holdout=0.2,
    salt="s",
)
REQUESTS, OUTREACH = (topics.REQUESTS.name, 0), (topics.OUTREACH.name, 0)
asked = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([rule.name for rule in RULES])),
    min_size=1,
    max_size=40,
)
moves = st.lists(
    st.tuples(
        st.sampled_from(["process"] * 5 + ["crash", "restart", "revoke", "compact", "sweep"]),
        st.integers(0, 2**16),
    ),
    max_size=40,
)


class Guarded:
    """The guard's part of a worker, over a broker of lists."""

    def __init__(self, requests: Iterable[OutreachRequest]) -> None:
        self.broker = Broker()
        for one in requests:
            value = msgspec.json.encode(one)
            self.broker.append(Outgoing(*REQUESTS, one.customer.encode(), value))
        self.read = self.committed = 0
        self.worker = self._worker()

    def _worker(self) -> ListWorker:
        worker = ListWorker(SETTINGS, self.broker, 1)
        worker.ruleset = RuleSet(RULES, LIMITS)
        worker.assign([TP(*REQUESTS)])
        return worker

    async def process(self, most: int | None = None) -> bool:
        chunk = self.broker.read(REQUESTS, self.read, most)
        if not chunk:
            return False
        try:
            await self.worker.on_requests(chunk)
        except Crashed:
            self.restart()
        else:
            self.read = chunk[-1].offset + 1
        return True

    def restart(self) -> None:
        self.worker, self.read = self._worker(), self.committed

    async def play(self, script: Iterable[tuple[str, int]]) -> None:
        for move, number in script:
            chance = Random(number)
            self.worker.chance = chance
            if move in ("process", "crash"):
                self.worker.fuse = 0 if move == "crash" else None
                await self.process(1 + number % 7)
                if chance.random() < 0.5:
                    self.committed = self.read
            elif move == "restart":
                self.restart()
            elif move == "revoke":
                self.worker.revoke([TP(*REQUESTS)])
                self.worker.assign([TP(*REQUESTS)])
                self.read = self.committed
            elif move == "compact":
                self.broker.compact(OUTREACH, self.broker.ends[OUTREACH])
            elif move == "sweep":
                self.worker.fuse = None
                await self.worker.sweep([TP(*REQUESTS)])
        self.worker.fuse = None
        while await self.process():
            pass

    def decisions(self) -> list[OutreachDecision]:
        return decided(self.broker)


def decided(broker: Broker) -> list[OutreachDecision]:
    decode = msgspec.json.Decoder(OutreachDecision).decode
    return [decode(record.value) for record in broker.logs[OUTREACH] if record.value is not None]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(asked, moves)
def test_whatever_dies_and_when_each_request_is_decided_once_and_as_without_it(
    wanted: list[tuple[int, str]], script: list[tuple[str, int]]
) -> None:
    requests = [
        request(n, f"customer:{who}", rule=rule, account=f"account:{who % 2}")
        for n, (who, rule) in enumerate(wanted)
    ]
    requests += requests[::3]  # some were asked twice, by a worker that died

    async def live() -> None:
        troubled, calm = Guarded(requests), Guarded(requests)
        await troubled.play(script)
        await calm.play([])
        assert [plain(one) for one in troubled.decisions()] == [
            plain(one) for one in calm.decisions()
        ]
        ids = [one.decision_id for one in troubled.decisions()]
        assert sorted(ids) == sorted({one.decision_id for one in requests})

    asyncio.run(live())


def plain(one: OutreachDecision) -> OutreachDecision:
    """A decision without the moments that depend on when it was made."""
    told = {"decided_ms": 0, "expires_ms": 0, "due_ms": 0}
    detail = "" if one.suppressed_by == "cooldown" else one.detail
    return msgspec.structs.replace(one, **told, detail=detail)


HELD_CALL = """
guard: {holdout: 0.1, salt: s, budget: %d, account_cap: {most: 3, in: 7d}}
rules:
  - name: waited
    when: {cause: long waits}
    channel: call_task
    ways_out: [call_back]
    template: {en: {subject: s, body: b}, fa: {subject: s, body: b}}
"""


@pytest.mark.parametrize("customers", [600])
def test_a_crowd_crosses_a_rule_at_once_and_workers_die_in_the_middle(
    tmp_path: Path, customers: int
) -> None:
    budget = customers // 2
    path = tmp_path / "rules.yaml"
    path.write_text(HELD_CALL % budget)
    ruleset = load_rules(path)

    async def live() -> None:
        pipeline = Pipeline(3, settings=SETTINGS.model_copy(update={"rules_file": path}))
        for n in range(customers):
            row = call(pipeline, n)
            assert row.anchor == f"customer:c{n}"
        chance = Random(7)
        for round_ in range(300):
            pipeline.worker.chance = chance
            pipeline.worker.fuse = chance.randrange(2) if round_ % 6 == 5 else None
            await pipeline.process(chance.choice(pipeline.sources), chance.randint(1, 40))
            pipeline.commit(chance)
        await pipeline.settle()
        assert pipeline.crashes > 10
        found = decided(pipeline.broker)
        # Each customer is decided on once, by the same rules as if nothing had died.
        assert Counter(one.customer for one in found) == Counter(
            f"customer:c{n}" for n in range(customers)
        )
        told = Counter(one.suppressed_by for one in found)
        drawn = {
            one.customer for one in found if held_out(one.customer, "s", ruleset.limits.holdout)
        }
        assert {one.customer for one in found if one.holdout} <= drawn
        assert not {one.customer for one in found if one.taken} & drawn
        assert told[""] == budget
        accounts = Counter(one.account for one in found if one.taken and one.account)
        assert max(accounts.values()) == 3
        assert set(told) == {"", "holdout", "budget", "account_cap"}

    asyncio.run(live())


def call(pipeline: Pipeline, number: int) -> JourneyStep:
    sent = {
        "event_id": str(UUID(int=number + 1)),
        "occurred_at": now_utc().isoformat(),
        "identifiers": [{"kind": "customer", "value": f"c{number}"}],
        "channel": "call_center",
        "type": "call",
        "wait_seconds": 3000,
        "resolved": False,
    }
    if number % 10 == 0:
        sent["account"] = f"B2B-{number // 10 % 3}"
    row = step(sent)
    home = partition_of(row.anchor.encode(), pipeline.partitions)
    pipeline.send(home, row.anchor, json.dumps(sent).encode())
    return row
