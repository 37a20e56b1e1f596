"""What a backtest says of rules on accounts, the agents decide on the same history."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from faust.types import TP

from analytics.backtest import decide
from schemas import topics
from schemas.outcome import JourneyStep, OutreachDecision
from streams.core.evidence import DAY_MS
from streams.core.policy import Policy
from streams.delivery import partition_of
from streams.rules import load_rules
from tests.agents.facts import step
from tests.agents.history import SETTINGS, Pipeline
from tests.agents.test_outreach import decided

HOUR = DAY_MS // 24
START = 20_600  # days since 1970
DAYS = 25
RULES = """
guard: {holdout: 0.2, salt: s, language: en}
rules:
  - name: falling
    when: {account_health_drop: {points: 8, days: 5}}
    to: [decision_maker, champion]
    channel: email
    cooldown: 3d
    ways_out: [call_back]
    template: &texts
      en: {subject: "{account}", body: "{role} {health} {reason} {silence}"}
      fa: {subject: "{account}", body: "{role} {health} {reason} {silence}"}
  - name: weak
    when: {weakest_contact: {below: 65}, contacts: {above: 1}}
    to: anyone
    for: 5h
    channel: call_task
    cooldown: 4d
    ways_out: [call_back]
    template: *texts
  - name: silent
    when: {account_band: [red, amber], silence: {above: 2.6}}
    to: [decision_maker, anyone]
    channel: sms
    cooldown: 2d
    ways_out: [call_back]
    template: *texts
  - name: own
    when: {cause: long waits}
    channel: call_task
    ways_out: [call_back]
    template: *texts
"""
DEEDS: list[dict[str, Any]] = [
    {"channel": "web", "type": "page_view"},
    *[{"channel": "call_center", "type": "call", "wait_seconds": 3000, "resolved": False}] * 3,
    {"channel": "call_center", "type": "call", "resolved": True},
    {"channel": "web", "type": "consent_withdrawn", "purpose": "outreach:email"},
    {"channel": "chat", "type": "message", "direction": "inbound", "text": "terrible, I am angry"},
]


def history(chance: Random) -> list[dict[str, Any]]:
    """Touchpoints at full hours after noon, of customers who now and then change the company."""
    found = []
    moments = [
        (24 * day + hour, who) for day in range(DAYS) for hour in range(13, 19) for who in range(5)
    ]
    for number, (hour, who) in enumerate(chance.sample(moments, chance.randint(20, 70))):
        at = datetime.fromtimestamp((START * 24 + hour) * 3600, UTC)
        sent = {
            "event_id": str(UUID(int=number + 1)),
            "occurred_at": at.isoformat(),
            "identifiers": [{"kind": "customer", "value": f"c{who}"}],
            **chance.choice(DEEDS),
        }
        if chance.random() < 0.6:
            sent["account"] = chance.choice(["B2B-1", "B2B-1", "B2B-2"])
            role = chance.choice(["decision_maker", "champion", "user"])
            sent["properties"] = {"role": role}
        found.append(sent)
    return sorted(found, key=lambda sent: (sent["occurred_at"], sent["event_id"]))


async def live(
    sent: list[dict[str, Any]], steps: list[JourneyStep], rules: Path, clock: list[int]
) -> list[OutreachDecision]:
    """Every touchpoint as it comes, and a look at everybody at each full hour from noon on."""
    pipeline = Pipeline(3, settings=SETTINGS.model_copy(update={"rules_file": rules}))
    coming = {
        at: [one for _, one in several]
        for at, several in groupby(
            zip(steps, sent, strict=True), key=lambda pair: pair[0].occurred_ms
        )
    }
    for hour in range(DAYS * 24):
        clock[0] = START * DAY_MS + hour * HOUR
        for one in coming.get(clock[0], ()):
            anchor = step(one).anchor
            home = partition_of(anchor.encode(), 3)
            pipeline.send(home, anchor, json.dumps(one).encode())
        await pipeline.settle()
        if hour % 24 >= 12:
            for topic in (topics.PARTS.name, topics.CONTACTS.name):
                await pipeline.worker.sweep(TP(topic, n) for n in range(3))
                await pipeline.settle()
    return decided(pipeline.broker)


@pytest.mark.parametrize("seed", range(6))
def test_a_backtest_says_what_the_agents_decide(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0]
    monkeypatch.setattr("streams.worker.now_ms", lambda: clock[0])
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    sent = history(Random(seed))
    steps = [step(one) for one in sent]
    found = asyncio.run(live(sent, steps, path, clock))
    grouped = sorted(steps, key=lambda one: (one.anchor, one.occurred_ms, one.event_id))
    until = (START + DAYS) * DAY_MS - HOUR
    told = decide(
        ((one.anchor, one) for one in grouped),
        load_rules(path),
        Policy(),
        START * DAY_MS,
        until,
        lambda _: None,
    )
    assert by_moment(found) == by_moment(told)
    names = {one.rule for one in found if one.taken}
    assert {"falling", "weak", "silent"} & names


def by_moment(decisions: Any) -> list[OutreachDecision]:
    return sorted(decisions, key=lambda one: (one.decided_ms, one.rule, one.customer))
