"""What an account is told of a customer: nothing twice, nothing forgotten, who knew more wins."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.outcome import Contact, ContactUpdate, JourneyStep
from streams.core.contacts import NOBODY, merge_told, newer, tell
from streams.core.policy import Policy
from streams.core.rules import Range, Rule, RuleSet
from streams.core.stitch import NO_RULES, stand
from streams.core.template import LANGUAGES, Template
from tests.unit.health_steps import at, part_of, step

TEXTS = dict.fromkeys(LANGUAGES, Template("s", "b"))


def of_account(name: str, day: float, kind: str = "web:page_view", **given: Any) -> JourneyStep:
    return msgspec.structs.replace(step(day, kind, **given), account=name)


def seen(steps: list[JourneyStep], day: float, ruleset: RuleSet = NO_RULES) -> Contact | None:
    part = part_of(steps)
    return stand("customer:C-1", part, ["cookie:1"], {}, at(day), Policy(), ruleset, {}).contact


def contact(account: str, health: int = 80) -> Contact:
    found = seen([of_account(account, 1)], 2)
    assert found is not None
    row = msgspec.structs.replace(found.row, health=health)
    return msgspec.structs.replace(found, row=row)


def test_who_has_no_account_tells_nobody() -> None:
    assert seen([step(1, "web:page_view")], 2) is None
    part = part_of([of_account("B2B", 1)])
    assert stand("customer:C-1", part, [], {}, at(2), Policy(), NO_RULES, {}).contact is None
    assert tell("customer:C-1", None, NOBODY, 1, 1) == ({}, [])


def test_only_what_an_account_notices_is_news() -> None:
    calm = [of_account("B2B", 1)]
    before = seen(calm, 2)
    assert seen([*calm, step(1.1, "web:page_view")], 2.01) == before
    assert seen([*calm, step(1.9, "web:page_view")], 2.4) != before  # on another day
    assert seen([*calm, step(1, "call_center:call", resolved=False)], 2) != before
    champion = step(1, "web:page_view", properties='{"role": "champion"}')
    assert seen([*calm, champion], 2) != before


def test_a_contact_carries_consent_and_which_rules_it_fits() -> None:
    texts = [step(1, "web:consent_withdrawn", purpose="outreach:sms"), of_account("B2B", 1.5)]
    on_account = {"account": {"contacts": Range(above=0)}, "to": ("anyone",)}
    rules = RuleSet(
        (
            Rule("any", {}, "sms", ("refund",), TEXTS, **on_account),
            Rule("well", {"health": Range(above=50)}, "email", ("refund",), TEXTS, **on_account),
            Rule("ill", {"health": Range(below=50)}, "sms", ("refund",), TEXTS, **on_account),
            Rule("own", {}, "sms", ("refund",), TEXTS),
        )
    )
    found = seen(texts, 2, rules)
    assert found is not None
    assert (found.fits, found.consent) == (["any", "well"], {"sms": "withdrawn"})
    assert found.identifiers == ["cookie:1", "customer:C-1"]


def test_nothing_is_told_twice_and_everything_again_on_demand() -> None:
    told, news = tell("c", contact("A"), NOBODY, 5, 1)
    assert [(one.account, one.version) for one in news] == [("A", 5)]
    assert tell("c", contact("A"), told, 6, 2) == (told, [])
    again, news = tell("c", contact("A"), told, 6, 2, again=True)
    assert (again["A"][0], len(news)) == (6, 1)
    assert len(tell("c", contact("A", 79), told, 6, 2)[1]) == 1


def test_an_account_that_was_left_is_told_and_stays_on_the_list() -> None:
    told, _ = tell("c", contact("A"), NOBODY, 5, 1)
    told, news = tell("c", contact("B"), told, 6, 2)
    assert [(one.account, one.contact is None) for one in news] == [("A", True), ("B", False)]
    assert tell("c", contact("B"), told, 7, 3) == (told, [])
    told, news = tell("c", None, told, 8, 4)
    assert [one.account for one in news] == ["B"]
    assert set(told) == {"A", "B"}


def test_what_two_workers_told_differently_is_told_again_until_our_version_is_no_lower() -> None:
    ours, _ = tell("c", contact("A"), NOBODY, 5, 1)
    theirs, _ = tell("c", contact("A", 20), NOBODY, 9, 1)
    merged = merge_told(ours, theirs)
    assert merged == merge_told(theirs, ours) == merge_told(merged, ours)
    behind, news = tell("c", contact("A"), merged, 7, 2)
    assert len(news) == 1  # which loses against theirs
    ahead, news = tell("c", contact("A"), behind, 9, 3)
    assert len(news) == 1
    assert tell("c", contact("A"), ahead, 9, 4) == (ahead, [])
    # Where both told the same, there is nothing to say.
    same, _ = tell("c", contact("A"), NOBODY, 9, 1)
    assert tell("c", contact("A"), merge_told(ours, same), 7, 2)[1] == []
    # What only they told is withdrawn.
    elsewhere, _ = tell("c", contact("B"), NOBODY, 4, 1)
    _, news = tell("c", contact("A"), merge_told(ours, elsewhere), 7, 2)
    assert [(one.account, one.contact) for one in news] == [("B", None)]


def test_who_knew_more_wins_and_then_who_looked_later() -> None:
    def update(version: int, at_ms: int) -> ContactUpdate:
        return ContactUpdate("A", "c", version, at_ms, None)

    assert newer(update(2, 1), update(1, 9)) == update(2, 1)
    assert newer(update(1, 9), update(2, 1)) == update(2, 1)
    assert newer(update(1, 9), update(1, 1)) == update(1, 9)
