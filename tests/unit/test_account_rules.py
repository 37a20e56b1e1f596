"""Rules on accounts: each condition fires and does not, whom they address, when they ask again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.outcome import Account, Contact, CustomerHealth, OutreachRequest
from streams.core.account_rules import CONDITIONS, addressee, health_on, remembered
from streams.core.accounts import is_news, merge, stand
from streams.core.evidence import DAY_MS
from streams.core.policy import Policy
from streams.core.rules import Drop, Limits, Range, Rule, RuleSet
from streams.core.template import LANGUAGES, Template

NOON = 20_600 * DAY_MS + DAY_MS // 2
HOUR = DAY_MS // 24
TEXTS = dict.fromkeys(LANGUAGES, Template("{account}", "{role}: {silence}"))
ROW = CustomerHealth("", 0, 1, 0, 80, 0, 0, "", "B2B", {}, ["−9: 3 calls in 5 days"], {})


def contact(customer: str, health: int = 80, role: str = "", **given: Any) -> Contact:
    row = msgspec.structs.replace(
        ROW, customer=customer, health=health, role=role, distress=given.pop("distress", 0)
    )
    return Contact(row, [customer], 20_590, **{"fits": ["r"], **given})


def rule(account: dict[str, Any], **given: Any) -> Rule:
    fields = {"account": account, "to": ("decision_maker", "champion"), **given}
    return Rule("r", {}, "sms", ("refund",), TEXTS, **fields)


def look(
    contacts: Sequence[Contact], ruleset: RuleSet, at_ms: int = NOON, known: Account | None = None
) -> tuple[Account, list[OutreachRequest]]:
    return stand("B2B", contacts, known, at_ms, Policy(), ruleset)


BOSS = contact("customer:boss", 80, "decision_maker")
UPSET = contact("customer:boss", 30, "decision_maker")
USERS = [contact(f"customer:u{n}", 90, "user") for n in range(3)]
FALLEN = Account("B2B", NOON - DAY_MS, 90, "green", 1, {}, "", [], past={20_590: 90})
NEW = Account("B2B", NOON - DAY_MS, 90, "green", 1, {}, "", [], past={20_599: 90})
# condition -> what it compares with; contacts by which it fires, and by which it does not
CASES: dict[str, list[tuple[Any, Sequence[Contact], Sequence[Contact]]]] = {
    "account_health": [(Range(below=50), [UPSET], [BOSS]), (Range(above=50), [BOSS], [UPSET])],
    "account_band": [
        (frozenset({"red"}), [UPSET, *USERS], [BOSS, *USERS]),
        (frozenset({"amber", "green"}), [BOSS], [UPSET]),
    ],
    "account_health_drop": [(Drop(20, 3), [UPSET], [BOSS])],
    "weakest_contact": [(Range(below=50), [UPSET, *USERS], [BOSS, contact("customer:u", 10)])],
    "contacts": [(Range(above=1), [BOSS, *USERS], [BOSS])],
}


@pytest.mark.parametrize(
    ("name", "value", "yes", "no"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
    ids=[f"{name}-{n}" for name, cases in CASES.items() for n in range(len(cases))],
)
def test_each_condition_fires_and_does_not(
    name: str, value: Any, yes: Sequence[Contact], no: Sequence[Contact]
) -> None:
    rules = RuleSet((rule({name: value}),))
    assert len(look(yes, rules, known=FALLEN)[1]) == 1
    assert look(no, rules, known=FALLEN)[1] == []


def test_every_condition_has_a_case() -> None:
    assert list(CASES) == list(CONDITIONS)


def test_every_condition_must_hold_and_somebody_must_be_there_to_address() -> None:
    both = RuleSet((rule({"contacts": Range(above=1), "account_health": Range(below=50)}),))
    down = [UPSET, contact("customer:u", 30, "user")]
    assert len(look(down, both)[1]) == 1
    assert look([UPSET], both)[1] == []
    assert look([contact("customer:u", 30), contact("customer:v", 30)], both)[1] == []
    assert look([msgspec.structs.replace(UPSET, fits=[]), down[1]], both)[1] == []


def test_an_account_that_was_not_known_then_has_not_fallen() -> None:
    rules = RuleSet((rule({"account_health_drop": Drop(20, 3)}),))
    assert look([UPSET], rules, known=NEW)[1] == []
    assert look([UPSET], rules)[1] == []


def test_the_past_is_kept_by_day_where_it_changed_and_no_longer_than_rules_look_back() -> None:
    past: dict[int, int] = {}
    for day, health in [(1, 80), (2, 80), (4, 70), (4, 60), (9, 90)]:
        past = remembered(past, health, day, 5)
    assert past == {4: 60, 9: 90}
    assert [health_on(past, day) for day in (3, 4, 8, 9, 20)] == [None, 60, 60, 90, 90]
    assert remembered(past, 90, 30, 5) == {9: 90}
    assert remembered(past, 90, 9, 0) == {}


def test_an_account_that_nobody_belongs_to_begins_anew_but_remembers_when_it_asked() -> None:
    rules = RuleSet((rule({"account_health_drop": Drop(20, 3)}),))
    known, _ = look([UPSET], rules, known=FALLEN)
    gone, asked = look([], rules, NOON + HOUR, known)
    assert (gone.contacts, gone.band, gone.weakest, asked) == (0, "", "", [])
    assert (gone.reached, gone.past) == ({"r": NOON}, {})


def test_of_those_who_fit_the_one_with_the_best_claim_is_addressed() -> None:
    to_boss = rule({"contacts": Range(above=0)})
    champions = [contact("customer:b", 50, "champion"), contact("customer:a", 50, "champion")]
    worse = contact("customer:w", 50, "champion", distress=1)

    def chosen(*contacts: Contact, by: Rule = to_boss, limits: Limits | None = None) -> str:
        found = addressee(by, contacts, limits or Limits())
        return found.row.customer if found is not None else ""

    assert chosen(*champions, BOSS) == "customer:boss"  # the order of roles comes first
    assert chosen(*champions, *USERS) == "customer:a"  # then health, distress, and the id
    assert chosen(*champions, worse) == "customer:w"
    assert chosen(*champions, contact("customer:z", 49, "champion")) == "customer:z"
    assert chosen(*USERS) == ""
    anybody = rule({"contacts": Range(above=0)}, to=("decision_maker", "anyone"))
    assert chosen(*USERS, *champions, by=anybody) == "customer:a"
    assert chosen(*USERS, *champions, BOSS, by=anybody) == "customer:boss"
    # Who may not be reached is passed over, where there is somebody else.
    refused = contact("customer:boss", 30, "decision_maker", consent={"sms": "withdrawn"})
    assert chosen(refused, *champions) == "customer:a"
    assert chosen(refused, *USERS) == "customer:boss"
    ask_first = Limits(ask_first=True)
    granted = contact("customer:g", 90, "champion", consent={"sms": "granted"})
    assert chosen(BOSS, granted, limits=ask_first) == "customer:g"
    assert chosen(BOSS, *champions, limits=ask_first) == "customer:boss"


def test_what_is_asked_names_the_contact_and_tells_of_the_account() -> None:
    berlin = msgspec.structs.replace(
        UPSET, zone="Europe/Berlin", language="fa-latn", consent={"sms": "granted"}
    )
    account, (asked,) = look([berlin, *USERS], RuleSet((rule({"account_band": {"red"}}),)))
    assert (asked.customer, asked.identifiers) == ("customer:boss", ["customer:boss"])
    assert (asked.account, asked.health, asked.why) == ("B2B", 30, "; ".join(account.reasons))
    assert (asked.zone, asked.consent, asked.language) == ("Europe/Berlin", "granted", "fa")
    assert (asked.subject, asked.body) == ("B2B", "decision_maker: ۱۰")


def test_it_asks_once_it_has_held_for_its_duration_and_again_a_day_later() -> None:
    rules = RuleSet((rule({"account_band": {"red"}}, hold_ms=6 * HOUR),))
    first, asked = look([UPSET], rules)
    assert (first.holding, asked) == ({"r": NOON}, [])
    due, (asked_first,) = look([UPSET], rules, NOON + 6 * HOUR, first)
    assert (due.holding, due.reached) == ({"r": NOON}, {"r": NOON + 6 * HOUR})
    early, asked = look([UPSET], rules, NOON + 30 * HOUR - 1, due)
    assert asked == []
    _, (again,) = look([UPSET], rules, NOON + 30 * HOUR, early)
    assert again.decision_id != asked_first.decision_id
    _, (repeated,) = look([UPSET], rules, NOON + 30 * HOUR + 5, early)
    assert repeated.decision_id == again.decision_id
    better, _ = look([BOSS], rules, NOON + 31 * HOUR, due)
    assert (better.holding, better.reached) == ({}, due.reached)


def test_two_accounts_are_two_questions() -> None:
    rules = RuleSet((rule({"account_band": {"red"}}),))
    (one,) = stand("A", [UPSET], None, NOON, Policy(), rules)[1]
    (other,) = stand("B", [UPSET], None, NOON, Policy(), rules)[1]
    assert one.decision_id != other.decision_id


def test_only_what_changed_is_news_and_a_merge_keeps_every_request() -> None:
    account, _ = look([BOSS], RuleSet())
    later, _ = look([BOSS], RuleSet(), NOON + HOUR, account)
    assert is_news(account, None)
    assert not is_news(later, account)
    assert is_news(look([UPSET], RuleSet(), NOON, account)[0], account)
    one = msgspec.structs.replace(later, reached={"r": 5, "s": 9})
    other = msgspec.structs.replace(account, reached={"r": 7})
    assert merge(one, other) == msgspec.structs.replace(later, reached={"r": 7, "s": 9})
    assert merge(one, other) == merge(other, one)
