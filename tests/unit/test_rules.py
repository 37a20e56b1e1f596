"""Rules: each condition fires and does not, how long it must hold, and when it asks again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any

import msgspec
import pytest

from schemas.outcome import CustomerHealth, JourneyStep, OutreachRequest
from schemas.state import PartUpdate
from streams.core import account_rules
from streams.core.journey import CustomerState
from streams.core.policy import Policy, SpendModel, ValueModel
from streams.core.quiet import Quiet
from streams.core.rules import (
    CONDITIONS,
    Amount,
    Drop,
    Limits,
    Range,
    Rule,
    RuleSet,
    consent,
)
from streams.core.stitch import evaluate
from streams.core.template import LANGUAGES, WAYS_OUT, Template
from streams.rules import When, load_rules
from tests.unit.health_steps import HOUR, at, end_of, part_of, step

POLICY = Policy(value=ValueModel(spend={"USD": SpendModel(6.25, 3.74, 15.44, 100.0)}))
TEXT = Template("{reason}", "{ways_out}")
CALL = [step(9, "call_center:call", resolved=False, wait_seconds=1500)]
BOUGHT = [step(day, "order:placed", amount=5_000) for day in (0, 3, 6, 9)]
EUROS = [step(9, "order:placed", amount=9, currency="EUR")]
LATE = [
    step(1, "order:placed", order="A", promised_at=5),
    step(9, "order:delivered", order="A"),
]
OVERDUE = LATE[:1]
GIVEN_UP = [LATE[0], step(9, "order:cancelled", order="A")]
CALLBACK = [step(7, "call_center:callback_promised")]
VISIT = [step(9, "web:page_view")]


def staged(stage: str, day: float = 9) -> list[JourneyStep]:
    return [_with(step(day, "web:page_view"), stage=stage)]


def of_account(role: str = "") -> list[JourneyStep]:
    properties = f'{{"role": "{role}"}}' if role else "{}"
    return [_with(step(9, "web:page_view", properties=properties), account="B2B")]


def _with(one: JourneyStep, **changes: Any) -> JourneyStep:
    return msgspec.structs.replace(one, **changes)


def rule(when: dict[str, Any], hold_ms: int = 0) -> Rule:
    texts = dict.fromkeys(LANGUAGES, TEXT)
    return Rule("r", when, "sms", ("refund", "call_back"), texts, hold_ms)


def look(
    steps: Sequence[JourneyStep],
    now_ms: int,
    ruleset: RuleSet,
    before: CustomerHealth | None = None,
) -> tuple[CustomerHealth, list[OutreachRequest]]:
    """An evaluation after another one, as the stitch agent makes it."""
    state = CustomerState()
    part = part_of(list(steps))
    state.take(PartUpdate("customer:C-1", "customer:C-1", 0, part.n, part))
    reached, holding = (before.reached, before.holding) if before else ({}, {})
    return evaluate("customer:C-1", state, reached, now_ms, POLICY, ruleset, holding)[:2]


def fires(steps: Sequence[JourneyStep], when: dict[str, Any], day: int = 9) -> bool:
    return bool(look(steps, end_of(day), RuleSet((rule(when),)))[1])


ANGRY = [step(9, "chat:message", "!", -900, 800, direction="inbound")]
# condition -> what it compares with, touchpoints by which it fires, and by which it does not
CASES: dict[str, list[tuple[Any, Sequence[JourneyStep], Sequence[JourneyStep]]]] = {
    "health": [(Range(below=75), CALL, VISIT), (Range(above=80), VISIT, CALL)],
    "distress": [(Range(above=399), ANGRY, VISIT), (Range(above=-1, below=1), VISIT, ANGRY)],
    "sentiment": [(Range(below=-200), ANGRY, VISIT)],
    "cause": [(frozenset({"long waits", "returns"}), CALL, ANGRY)],
    "promise_broken": [
        (frozenset({"overdue"}), OVERDUE, LATE),
        (frozenset({"late"}), LATE, OVERDUE),
        (frozenset({"cancelled"}), GIVEN_UP, LATE),
        (frozenset({"callback"}), CALLBACK, CALL),
        (frozenset({"late", "overdue"}), OVERDUE, GIVEN_UP),
    ],
    "silence": [(Range(above=5), [step(3, "web:page_view")], VISIT)],
    "stage": [
        (frozenset({"support"}), staged("support"), staged("purchase")),
        (
            frozenset({"purchase"}),
            staged("support", 8) + staged("purchase"),
            staged("purchase", 8) + staged("support"),
        ),
    ],
    "segment": [(frozenset({"devotee"}), BOUGHT, BOUGHT[:1])],
    "clv": [
        (Amount("USD", Range(above=1)), BOUGHT, VISIT),
        (
            Amount("USD", Range(above=1)),
            BOUGHT,
            [step(9, "order:placed", amount=9, currency="EUR")],
        ),
    ],
    "alive": [(Range(above=500), BOUGHT, VISIT)],
    "gives": [(Range(above=49), BOUGHT, VISIT)],
    "gets": [(Range(below=90), CALL, VISIT)],
    "purchases": [(Range(above=3), BOUGHT, BOUGHT[:3])],
    "tenure": [(Range(above=8), BOUGHT, VISIT)],
    "account": [(frozenset({"B2B"}), of_account(), VISIT)],
    "has_account": [(True, of_account(), VISIT), (False, VISIT, of_account())],
    "role": [(frozenset({"champion"}), of_account("champion"), of_account("user"))],
    "health_drop": [
        (Drop(10, 7), [step(1, "web:page_view"), *CALL], [step(1, "web:page_view"), *VISIT]),
        # Nobody who came later than that has fallen since.
        (Drop(10, 7), [step(1, "web:page_view"), *CALL], CALL),
    ],
}


@pytest.mark.parametrize(
    ("name", "value", "yes", "no"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
    ids=[f"{name}-{n}" for name, cases in CASES.items() for n in range(len(cases))],
)
def test_each_condition_fires_and_does_not(
    name: str, value: Any, yes: Sequence[JourneyStep], no: Sequence[JourneyStep]
) -> None:
    assert fires(yes, {name: value})
    assert not fires(no, {name: value})


def test_every_condition_has_a_case_and_a_place_in_the_file() -> None:
    assert list(CASES) == list(CONDITIONS)
    assert [*CONDITIONS, *account_rules.CONDITIONS] == list(When.model_fields)


def test_every_condition_must_hold() -> None:
    waited = {"cause": frozenset({"long waits"})}
    assert fires(CALL, {**waited, "health": Range(below=75)})
    assert not fires(CALL, {**waited, "health": Range(below=10)})


def test_a_rule_asks_once_it_has_held_for_its_duration() -> None:
    held = RuleSet((rule({"cause": frozenset({"long waits"})}, hold_ms=6 * HOUR),))
    first, asked = look(CALL, at(9.5), held)
    assert (first.holding, asked) == ({"r": at(9.5)}, [])
    early, asked = look(CALL, at(9.75) - 1, held, first)
    assert (early.holding, asked) == ({"r": at(9.5)}, [])
    due, asked = look(CALL, at(9.75), held, early)
    assert [one.rule for one in asked] == ["r"]
    assert due.reached == {"r": at(9.75)}


def test_a_condition_that_stopped_holding_begins_anew() -> None:
    held = RuleSet((rule({"health": Range(below=75)}, hold_ms=6 * HOUR),))
    first, _ = look(CALL, at(9.5), held)
    better, _ = look(VISIT, at(9.6), held, first)
    assert better.holding == {}
    again, asked = look(CALL, at(9.75), held, better)
    assert (again.holding, asked) == ({"r": at(9.75)}, [])


def test_while_it_holds_it_asks_again_a_day_later_with_another_id() -> None:
    rules = RuleSet((rule({"cause": frozenset({"late delivery"})}),))
    first, asked = look(OVERDUE, at(9.5), rules)
    assert look(OVERDUE, at(10.5) - 1, rules, first)[1] == []
    _, again = look(OVERDUE, at(10.5), rules, first)
    assert asked[0].decision_id != again[0].decision_id


def test_asked_in_quiet_hours_it_asks_again_when_they_end() -> None:
    night = Limits(zone="UTC", quiet=Quiet(time(21), time(9)))
    rules = RuleSet((rule({"cause": frozenset({"late delivery"})}),), night)
    first, asked = look(OVERDUE, at(9) + 2 * HOUR, rules)
    assert len(asked) == 1
    assert look(OVERDUE, at(9) + 9 * HOUR - 1, rules, first)[1] == []
    morning, again = look(OVERDUE, at(9) + 9 * HOUR, rules, first)
    assert len({one.decision_id for one in (*asked, *again)}) == 2
    assert look(OVERDUE, at(10) + 9 * HOUR - 1, rules, morning)[1] == []


def test_asked_again_by_a_worker_that_forgot_it_is_the_same_question() -> None:
    rules = RuleSet((rule({"cause": frozenset({"late delivery"})}),))
    _, asked = look(OVERDUE, at(9.5), rules)
    _, again = look(OVERDUE, at(9.5) + 1_000, rules)
    assert asked[0].decision_id == again[0].decision_id


def test_what_a_request_carries() -> None:
    told = [
        step(8, "web:page_view", properties='{"time_zone": "Europe/Berlin"}'),
        _with(step(8.1, "chat:message", "?", direction="inbound"), language="fa"),
        *OVERDUE,
    ]
    rules = RuleSet((rule({"promise_broken": frozenset({"overdue"})}),))
    (asked,) = look(told, end_of(9), rules)[1]
    assert (asked.zone, asked.language, asked.channel) == ("Europe/Berlin", "fa", "sms")
    assert asked.identifiers == ["customer:C-1"]
    assert asked.ways_out == ["refund", "call_back"]
    assert asked.subject == "سفارش ۴ روز از موعد گذشته و نرسیده"
    assert asked.body == f"{WAYS_OUT['refund'][1]}، {WAYS_OUT['call_back'][1]}"
    (asked,) = look(OVERDUE, end_of(9), RuleSet(rules.rules, Limits(language="en")))[1]
    assert asked.subject == "order overdue for 4 days"
    assert asked.body == "a refund, a call back"


def test_a_customer_whose_identifiers_all_left_is_asked_for_no_more() -> None:
    state = CustomerState()
    state.take(PartUpdate("customer:C-1", "customer:C-1", 1, 1, None))
    rules = RuleSet((rule({"health": Range(above=0)}),))
    health, asked, _ = evaluate("customer:C-1", state, {}, end_of(9), POLICY, rules)
    assert (health.identifiers, asked) == (0, [])


WHOLE, SMS = "outreach", "outreach:sms"


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ([], ""),
        ([("granted", WHOLE)], "granted"),
        ([("withdrawn", WHOLE)], "withdrawn"),
        ([("granted", WHOLE), ("withdrawn", SMS)], "withdrawn"),
        ([("withdrawn", SMS), ("granted", WHOLE)], "withdrawn"),
        ([("withdrawn", WHOLE), ("granted", SMS)], "granted"),
        ([("granted", SMS), ("withdrawn", WHOLE)], "withdrawn"),
        ([("withdrawn", "outreach:email")], ""),
        ([("withdrawn", "marketing")], ""),
    ],
)
def test_consent_is_the_last_word_on_a_channel_or_on_all(
    said: list[tuple[str, str]], stands: str
) -> None:
    steps = [
        step(n, f"web:consent_{word}", purpose=purpose) for n, (word, purpose) in enumerate(said)
    ]
    assert consent(part_of(steps), "sms") == stands


def test_the_shipped_rules_offer_a_way_out_and_speak_both_languages() -> None:
    found = load_rules(None)
    assert found.rules
    for one in found.rules:
        assert one.ways_out
        assert set(one.templates) == set(LANGUAGES)
        assert one.templates["fa"] != one.templates["en"]
