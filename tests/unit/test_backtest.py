"""Rules over one customer's history: the moments at which they would have asked."""

from __future__ import annotations

from datetime import time

from streams.core.backtest import requests_of
from streams.core.guard import Guard
from streams.core.policy import Policy
from streams.core.quiet import Quiet
from streams.core.rules import Limits, Range, Rule, RuleSet
from streams.core.template import LANGUAGES, Template
from tests.unit.health_steps import HOUR, at, step

POLICY = Policy()


def moments(ruleset: RuleSet, since: float = 0, until: float = 12) -> list[float]:
    """Hours since the story's day 0 at which a rule asked."""
    story = [
        step(1, "order:placed", order="A", promised_at=5),
        step(9, "order:delivered", order="A"),
        step(30, "web:page_view"),
    ]
    found = requests_of("customer:C-1", story, ruleset, POLICY, at(since), at(until))
    return [(one.requested_ms - at(0)) / HOUR for one in found]


def rule(hold_ms: int = 0) -> Rule:
    when = {"promise_broken": frozenset({"overdue"})}
    texts = dict.fromkeys(LANGUAGES, Template("s", "b"))
    return Rule("r", when, "sms", ("refund",), texts, hold_ms)


def test_it_asks_when_it_is_first_seen_and_daily_while_it_holds() -> None:
    # Promised for the start of day 5, seen that noon, delivered on day 9.
    assert moments(RuleSet((rule(),))) == [24 * day + 12 for day in (5, 6, 7, 8)]


def test_a_duration_ends_to_the_millisecond() -> None:
    assert moments(RuleSet((rule(5 * HOUR),)))[:2] == [24 * 5 + 17, 24 * 6 + 17]


def test_what_would_have_waited_for_the_morning_asks_then() -> None:
    quiet = Limits(quiet=Quiet(time(11), time(9)))
    assert moments(RuleSet((rule(),), quiet))[:3] == [24 * 5 + 12, 24 * 6 + 9, 24 * 7 + 9]


def test_only_the_span_asked_for_is_looked_at_with_all_that_was_known_before_it() -> None:
    assert moments(RuleSet((rule(),)), since=7, until=7.9) == [24 * 7 + 12]
    assert moments(RuleSet((rule(),)), since=6.7, until=7.9) == [24 * 7 + 12]


def test_a_rule_on_silence_asks_without_any_touchpoint() -> None:
    texts = dict.fromkeys(LANGUAGES, Template("s", "b"))
    silent = Rule("r", {"silence": Range(above=3)}, "sms", ("refund",), texts)
    assert moments(RuleSet((silent,)), until=6) == [24 * 4 + 12, 24 * 5 + 12]


def test_the_guard_decides_on_history_as_it_does_live() -> None:
    ruleset = RuleSet((rule(),), Limits())
    guard, story = Guard(ruleset), [step(1, "order:placed", order="A", promised_at=5)]
    asked = requests_of("customer:C-1", story, ruleset, POLICY, at(0), at(25))
    told = [(one, guard.decide(one, one.requested_ms)) for one in asked]
    taken = [request.requested_ms for request, found in told if found and found.taken]
    assert [(ms - at(0)) / HOUR for ms in taken] == [24 * 5 + 12, 24 * 19 + 12]
    assert {found.suppressed_by for _, found in told if found} == {"", "cooldown"}
