"""The guard: what it lets through, of any requests at any times, and that its log is its memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import time
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.outcome import OutreachDecision, OutreachRequest
from streams.core.evidence import DAY_MS
from streams.core.guard import CHECKS, Guard, held_out
from streams.core.quiet import NEVER, Quiet, day_of
from streams.core.rules import Cap, Limits, Rule, RuleSet

HOUR = DAY_MS // 24
START = 20_600 * DAY_MS  # a Thursday, 00:00 UTC
RULES = (
    Rule("late", {}, "sms", ("refund",), {}, cooldown_ms=3 * DAY_MS),
    Rule("quiet", {}, "email", ("call_back",), {}, cooldown_ms=12 * HOUR),
)
LIMITS = Limits(
    zone="Asia/Tehran",
    quiet=Quiet(time(21), time(9), frozenset({4})),
    customer_cap=Cap(2, 4 * DAY_MS),
    account_cap=Cap(3, 2 * DAY_MS),
    budget=4,
    holdout=0.3,
    salt="s",
)
OPEN = Limits(quiet=NEVER)


def request(number: int, customer: str = "customer:A", **given: object) -> OutreachRequest:
    fields: dict[str, object] = {
        "decision_id": f"d{number}",
        "customer": customer,
        "identifiers": [customer],
        "rule": "late",
        "channel": "sms",
        "requested_ms": START,
        "why": "−9: waited",
        "health": 40,
        "distress": 500,
        "subject": "s",
        "body": "b",
        "ways_out": ["refund"],
        **given,
    }
    return msgspec.convert(fields, OutreachRequest)


def decide(guard: Guard, asked: OutreachRequest, at_ms: int) -> OutreachDecision:
    decision = guard.decide(asked, at_ms)
    assert decision is not None
    return decision


def limited(**given: Any) -> Guard:
    """A guard with these limits and no others."""
    return Guard(RuleSet(RULES, replace(OPEN, **given)))


def test_a_request_that_nothing_speaks_against_is_taken_with_all_a_sender_needs() -> None:
    guard = limited(zone="Asia/Tehran", quiet=Quiet(time(21), time(9)))
    at = START + 10 * HOUR  # 13:30 in Tehran
    asked = request(1, identifiers=["customer:A", "email:h"], language="fa")
    assert decide(guard, asked, at) == OutreachDecision(
        decision_id="d1",
        customer="customer:A",
        rule="late",
        decided_ms=at,
        taken=True,
        why="−9: waited",
        health=40,
        distress=500,
        channel="sms",
        expires_ms=START + 17 * HOUR + HOUR // 2,  # 21:00 in Tehran
        requested_ms=START,
        language="fa",
        subject="s",
        body="b",
        ways_out=["refund"],
        identifiers=["customer:A", "email:h"],
    )


def test_a_request_is_decided_once() -> None:
    guard = limited()
    assert decide(guard, request(1), START).taken
    assert guard.decide(request(1), START + DAY_MS) is None


def test_what_is_suppressed_carries_neither_text_nor_identifiers() -> None:
    found = decide(limited(budget=0), request(1), START)
    assert (found.taken, found.suppressed_by, found.detail) == (False, "budget", "0 of 0 today")
    assert (found.subject, found.body, found.identifiers) == ("", "", [])
    assert found.ways_out == ["refund"]


@pytest.mark.parametrize(
    ("ask_first", "said", "taken"),
    [
        (False, "", True),
        (False, "granted", True),
        (False, "withdrawn", False),
        (True, "", False),
        (True, "granted", True),
        (True, "withdrawn", False),
    ],
)
def test_consent(ask_first: bool, said: str, taken: bool) -> None:
    found = decide(limited(ask_first=ask_first), request(1, consent=said), START)
    assert found.taken == taken
    assert (found.suppressed_by == "consent") != taken


def test_quiet_hours_are_the_customers_and_tell_when_they_end() -> None:
    guard = limited(zone="Asia/Tehran", quiet=Quiet(time(21), time(9)))
    at = START + 19 * HOUR  # 22:30 in Tehran, 14:00 in New York
    found = decide(guard, request(1), at)
    assert (found.suppressed_by, found.due_ms) == ("quiet_hours", START + 29 * HOUR + HOUR // 2)
    assert decide(guard, request(2, zone="America/New_York"), at).taken
    assert not decide(guard, request(3, zone="Nowhere"), at).taken


def test_cooldown_ends_to_the_millisecond_and_is_each_rules_own() -> None:
    guard = limited()
    decide(guard, request(1), START)
    early = decide(guard, request(2), START + 3 * DAY_MS - 1)
    assert early.suppressed_by == "cooldown"
    assert decide(guard, request(3, rule="quiet"), START + 3 * DAY_MS - 1).taken
    assert decide(guard, request(4), START + 3 * DAY_MS).taken


def test_a_suppressed_request_does_not_start_a_cooldown() -> None:
    guard = limited()
    assert not decide(guard, request(1, consent="withdrawn"), START).taken
    assert decide(guard, request(2), START + 1).taken


def test_what_was_decided_before_a_merge_counts_after_it() -> None:
    guard = limited()
    decide(guard, request(1, "customer:B"), START)
    merged = request(2, identifiers=["customer:A", "customer:B", "email:h"])
    assert decide(guard, merged, START + DAY_MS).suppressed_by == "cooldown"
    alone = request(3, identifiers=["customer:A", "email:h"])
    assert decide(guard, alone, START + DAY_MS).taken


def test_a_customers_cap_counts_every_rule_in_a_sliding_window() -> None:
    guard = limited(customer_cap=Cap(1, 2 * DAY_MS))
    decide(guard, request(1), START)
    found = decide(guard, request(2, rule="quiet"), START + 2 * DAY_MS - 1)
    assert (found.suppressed_by, found.detail) == ("customer_cap", "1 in 2 days")
    assert decide(guard, request(3, rule="quiet"), START + 2 * DAY_MS).taken


def test_an_accounts_cap_counts_its_contacts_together() -> None:
    guard = limited(account_cap=Cap(2, DAY_MS))
    for n in range(2):
        assert decide(guard, request(n, f"customer:{n}", account="B2B"), START).taken
    assert decide(guard, request(2, "customer:2", account="B2B"), START).suppressed_by == (
        "account_cap"
    )
    assert decide(guard, request(3, "customer:3", account="other"), START).taken
    assert decide(guard, request(4, "customer:4"), START).taken


def test_a_budget_is_a_calendar_days_of_the_zone() -> None:
    guard = limited(budget=1, zone="Asia/Tehran")
    evening = START + 20 * HOUR + HOUR // 2 - 1  # 23:59:59.999 in Tehran
    assert decide(guard, request(1, "customer:1"), evening).taken
    assert decide(guard, request(2, "customer:2"), evening).suppressed_by == "budget"
    assert decide(guard, request(3, "customer:3"), evening + 1).taken


def test_those_held_out_cool_down_but_use_no_budget() -> None:
    guard = limited(holdout=0.999_999, salt="x", budget=1)
    found = decide(guard, request(1), START)
    assert (found.taken, found.holdout, found.suppressed_by) == (False, True, "holdout")
    assert decide(guard, request(2), START + 1).suppressed_by == "cooldown"
    assert not guard.spent


def test_those_whom_the_budget_would_have_stopped_are_not_held_out() -> None:
    guard = limited(holdout=0.999_999, salt="x", budget=0)
    assert decide(guard, request(1), START).suppressed_by == "budget"


def test_a_worker_whose_clock_is_behind_does_not_turn_back_time() -> None:
    guard = limited()
    decide(guard, request(1), START)
    assert decide(guard, request(2, "customer:B"), START - HOUR).decided_ms == START


def test_a_rule_that_is_gone_from_the_file_reaches_nobody() -> None:
    assert decide(limited(), request(1, rule="old"), START).suppressed_by == "rule_removed"


@given(st.text(max_size=20), st.text(max_size=5))
def test_a_customer_is_held_out_for_good_and_stays_as_the_share_grows(
    customer: str, salt: str
) -> None:
    drawn = [held_out(customer, salt, share / 20) for share in range(21)]
    assert drawn == sorted(drawn)
    assert (drawn[0], drawn[-1]) == (False, True)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_those_held_out_are_near_their_share(share: float) -> None:
    people = 20_000
    drawn = sum(held_out(f"customer:{n}", "2026", share) for n in range(people))
    spread = (people * share * (1 - share)) ** 0.5
    assert abs(drawn - people * share) < 4 * spread
    anew = sum(
        held_out(f"customer:{n}", "2026", share) and held_out(f"customer:{n}", "2027", share)
        for n in range(people)
    )
    assert anew < 2 * people * share**2


asked = st.lists(
    st.tuples(
        st.integers(0, 5),  # customer
        st.sampled_from([rule.name for rule in RULES]),
        st.sampled_from(["", "granted", "withdrawn"]),
        st.sampled_from(["", "Europe/Berlin", "America/New_York"]),
        st.integers(-HOUR, 9 * HOUR),  # until the next; a clock may go back
    ),
    max_size=60,
)


def played(script: list[tuple[int, str, str, str, int]], first: int) -> list[OutreachDecision]:
    guard, at, found = Guard(RuleSet(RULES, LIMITS)), first, []
    for n, (who, rule, said, zone, gap) in enumerate(script):
        at += gap
        given = {"rule": rule, "consent": said, "zone": zone, "account": f"account:{who % 2}"}
        found.append(decide(guard, request(n, f"customer:{who}", **given), at))
    return found


# Into October and March of 2026/27, when clocks change.
starts = st.sampled_from([START, 20_750 * DAY_MS + 18 * HOUR, 20_905 * DAY_MS + 18 * HOUR])


@settings(max_examples=300, deadline=None)
@given(asked, starts)
def test_no_limit_is_ever_exceeded(
    script: list[tuple[int, str, str, str, int]], first: int
) -> None:
    found = played(script, first)
    taken = [one for one in found if one.taken]
    assert all(a.decided_ms <= b.decided_ms for a, b in pairwise(found))
    assert {one.suppressed_by for one in found} <= {"", *CHECKS}
    times = defaultdict(list)
    for one, (who, rule, said, zone, _) in zip(found, script, strict=True):
        if not one.taken:
            continue
        there = ZoneInfo(zone or LIMITS.zone)
        assert said != "withdrawn"
        assert not LIMITS.quiet.covers(one.decided_ms, there)
        assert not LIMITS.quiet.covers(one.expires_ms - 1000, there)
        assert not held_out(one.customer, LIMITS.salt, LIMITS.holdout)
        times["customer", one.customer].append(one.decided_ms)
        times["account", one.account].append(one.decided_ms)
        times["rule", f"{who} {rule}"].append(one.decided_ms)
    for (kind, name), moments in times.items():
        if kind == "rule":
            cooldown = {rule.name: rule.cooldown_ms for rule in RULES}[name.split()[1]]
            assert all(b - a >= cooldown for a, b in pairwise(moments))
        else:
            cap = LIMITS.customer_cap if kind == "customer" else LIMITS.account_cap
            assert cap is not None
            assert all(
                sum(at < other + cap.span_ms and other <= at for other in moments) <= cap.most
                for at in moments
            )
    days = Counter(day_of(one.decided_ms, ZoneInfo(LIMITS.zone)) for one in taken)
    assert LIMITS.budget is not None
    assert max(days.values(), default=0) <= LIMITS.budget


@settings(max_examples=200, deadline=None)
@given(asked, starts)
def test_nothing_is_suppressed_without_cause(
    script: list[tuple[int, str, str, str, int]], first: int
) -> None:
    """Whatever objected would have been exceeded: the limits are used to the full."""
    found = played(script, first)
    counted: list[OutreachDecision] = []
    for one in found:
        mine = [c for c in counted if c.customer == one.customer]
        at = one.decided_ms
        if one.suppressed_by == "cooldown":
            (rule,) = [rule for rule in RULES if rule.name == one.rule]
            assert any(c.rule == one.rule and at < c.decided_ms + rule.cooldown_ms for c in mine)
        elif one.suppressed_by == "customer_cap":
            assert LIMITS.customer_cap is not None
            assert (
                sum(c.decided_ms > at - LIMITS.customer_cap.span_ms for c in mine)
                == LIMITS.customer_cap.most
            )
        elif one.suppressed_by == "budget":
            today = day_of(at, ZoneInfo(LIMITS.zone))
            spent = [c for c in counted if c.taken]
            assert (
                sum(day_of(c.decided_ms, ZoneInfo(LIMITS.zone)) == today for c in spent)
                == LIMITS.budget
            )
        elif one.suppressed_by == "quiet_hours":
            assert one.due_ms > at
        if one.taken or one.holdout:
            counted.append(one)


@settings(max_examples=100, deadline=None)
@given(asked, starts, st.integers(0, 60), st.booleans())
def test_the_log_is_the_memory(
    script: list[tuple[int, str, str, str, int]], first: int, cut: int, forgets: bool
) -> None:
    """A guard that reads its log decides as one that never stopped, also where it forgot."""
    whole = played(script, first)
    guard, at = Guard(RuleSet(RULES, LIMITS)), first
    kept: dict[str, OutreachDecision] = {}
    for n, (who, rule, said, zone, gap) in enumerate(script):
        at += gap
        if n == cut:
            guard = Guard(RuleSet(RULES, LIMITS))
            for decision in kept.values():
                guard.remember(decision)
        if forgets:
            for customer, decision_id in guard.forget(max(at, guard.clock_ms)):
                assert kept.pop(decision_id).customer == customer
        given = {"rule": rule, "consent": said, "zone": zone, "account": f"account:{who % 2}"}
        made = decide(guard, request(n, f"customer:{who}", **given), at)
        assert made == whole[n]
        kept[made.decision_id] = made


def test_a_guard_forgets_everything_in_the_end() -> None:
    guard = limited(customer_cap=Cap(1, DAY_MS), account_cap=Cap(1, DAY_MS), budget=9)
    decide(guard, request(1, account="B2B"), START)
    assert guard.horizon_ms == 3 * DAY_MS
    assert guard.forget(START + 3 * DAY_MS - 1) == []
    assert guard.forget(START + 3 * DAY_MS) == [("customer:A", "d1")]
    for memory in (guard.decided, guard.contacts, guard.accounts, guard.spent):
        assert not memory


def test_an_account_s_rule_cools_down_for_the_account_whomever_it_addressed() -> None:
    of_account = replace(RULES[0], account={"contacts": None}, to=("anyone",))
    ruleset = RuleSet((of_account, RULES[1]), OPEN)
    guard = Guard(ruleset)
    first = decide(guard, request(1, "customer:A", account="B2B"), START)
    assert first.taken
    other = decide(guard, request(2, "customer:B", account="B2B"), START + HOUR)
    assert other.suppressed_by == "cooldown"
    assert decide(guard, request(3, "customer:C", account="B2C"), START + HOUR).taken
    # Its log is its memory; a customer's own rules are the customer's.
    again = Guard(ruleset)
    again.remember(first)
    assert decide(again, request(4, "customer:B", account="B2B"), START + 2 * HOUR).detail
    assert decide(again, request(5, "customer:B", account="B2B", rule="quiet"), START).taken
    assert decide(again, request(6, "customer:D", account="B2B"), START + 3 * DAY_MS).taken


def test_who_was_held_out_starts_the_account_s_cooldown_too() -> None:
    of_account = replace(RULES[0], account={"contacts": None}, to=("anyone",))
    limits = replace(OPEN, holdout=0.5, salt="s")
    guard = Guard(RuleSet((of_account,), limits))
    held = next(f"customer:{n}" for n in range(99) if held_out(f"customer:{n}", "s", 0.5))
    assert decide(guard, request(1, held, account="B2B"), START).holdout
    other = decide(guard, request(2, "customer:other", account="B2B"), START + HOUR)
    assert other.suppressed_by == "cooldown"
    guard.forget(START + 40 * DAY_MS)
    assert guard.turns == {}
