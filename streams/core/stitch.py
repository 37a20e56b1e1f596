"""A customer evaluated: its parts united, its health scored, its outreach decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from schemas.outcome import Contact, CustomerHealth, OutreachRequest
from schemas.state import Part
from streams.core.contacts import contact_of, merge_told
from streams.core.health import Health, Policy, score, sentences
from streams.core.journey import DAY_MS, CustomerState, unite
from streams.core.rules import Facts, RuleSet, ask
from streams.core.value import NO_PURCHASES, Value, balance, segment_of, value

NO_RULES: Final = RuleSet()
_MOST: Final = 2**63 - 1
NONE: Final[Mapping[str, int]] = MappingProxyType({})


class Standing(NamedTuple):
    """A customer as of a moment, the outreach it calls for, and what its account is told."""

    health: CustomerHealth
    requests: list[OutreachRequest]
    contact: Contact | None


def evaluate(
    customer: str,
    state: CustomerState,
    reached: Mapping[str, int],
    now_ms: int,
    policy: Policy,
    ruleset: RuleSet = NO_RULES,
    holding: Mapping[str, int] = NONE,
    received_ms: int = 0,
) -> Standing:
    """A customer as of `now_ms`.

    `reached` and `holding` are what the last evaluation left (see `CustomerHealth`). A customer all
    of whose identifiers have moved elsewhere has no identifiers, no outreach and no account.
    """
    anchors = state.anchors()
    parts = state.parts()
    part = parts[0] if len(parts) == 1 else unite(parts)
    return stand(customer, part, anchors, reached, now_ms, policy, ruleset, holding, received_ms)


def stand(
    customer: str,
    part: Part,
    anchors: Collection[str],
    reached: Mapping[str, int],
    now_ms: int,
    policy: Policy,
    ruleset: RuleSet,
    holding: Mapping[str, int],
    received_ms: int = 0,
) -> Standing:
    """`evaluate` of parts that are united already."""
    health, worth = assess(part, now_ms, policy)
    found = row(customer, part, len(anchors), health, worth, reached, now_ms, policy)
    if not anchors or not (ruleset.rules or found.account):
        return Standing(found, [], None)
    facts = Facts(part, health, found, policy)
    asked = ask(facts, anchors, reached, holding, ruleset, received_ms)
    if asked.requests or asked.holding:
        found = msgspec.structs.replace(found, reached=asked.reached, holding=asked.holding)
    contact = contact_of(facts, anchors, ruleset) if found.account else None
    return Standing(found, asked.requests, contact)


def assess(part: Part, as_of_ms: int, policy: Policy) -> tuple[Health, Value | None]:
    """Health by the weights of the customer's segment, and value, as of a moment."""
    worth = value(part, as_of_ms, policy.value)
    return score(part, as_of_ms, policy, worth.segment if worth is not None else ""), worth


def row(
    customer: str,
    part: Part,
    anchors: int,
    health: Health,
    worth: Value | None,
    reached: Mapping[str, int],
    now_ms: int,
    policy: Policy,
) -> CustomerHealth:
    """A customer's health and value as the record that is published and stored."""
    marks = {kind: mark for kind in _MARKS if (mark := part.latest.get(kind)) is not None}
    review = marks.get("review")
    costs = health.costs()
    gets, gives = balance(health, worth, policy.value)
    bought = worth.purchases if worth is not None else NO_PURCHASES
    return CustomerHealth(
        customer=customer,
        evaluated_ms=now_ms,
        identifiers=anchors,
        touchpoints=counted(part, now_ms),
        health=health.score,
        sentiment=health.sentiment,
        distress=health.distress,
        segment=segment_of(worth, policy.band(health.score)),
        account=marks["account"].value if "account" in marks else "",
        components=health.contributions,
        reasons=sentences(costs),
        reached=dict(reached),
        causes=health.causes,
        reasons_fa=sentences(costs, "fa"),
        role=marks["role"].value if "role" in marks else "",
        review=review.value if review is not None else "",
        review_ms=review.at_ms if review is not None else 0,
        purchases=bought.days,
        spend={currency: _stored(amount) for currency, amount in bought.spend.items()},
        tenure=max(0, now_ms // DAY_MS - part.first_ms // DAY_MS) if part.n else 0,
        alive=worth.alive if worth is not None else 0,
        expected=worth.expected if worth is not None else 0,
        currency=worth.currency if worth is not None else "",
        clv_minor=_stored(worth.clv) if worth is not None else 0,
        gets=gets,
        gives=gives,
    )


def _stored(amount: int) -> int:
    """Within what a column of the database holds: sums may be larger."""
    return max(-_MOST, min(_MOST, amount))


def merge(known: CustomerHealth, news: CustomerHealth) -> CustomerHealth:
    """The health evaluated last, with what either knows of decisions and of accounts told."""
    last = max(known, news, key=lambda health: health.evaluated_ms)
    reached = {
        rule: max(health.reached.get(rule, 0) for health in (known, news))
        for rule in known.reached.keys() | news.reached.keys()
    }
    told = merge_told(known.told, news.told)
    if reached == last.reached and told == last.told:
        return last
    return msgspec.structs.replace(last, reached=reached, told=told)


_MARKS: Final = ("account", "role", "review")


def counted(part: Part, as_of_ms: int) -> int:
    """Touchpoints up to and including the day of a moment."""
    today = as_of_ms // DAY_MS
    if part.last_ms // DAY_MS <= today:
        return part.n
    visits = sum(visits for day, visits in part.visits.items() if day <= today)
    return visits + sum(s.get("notices", 0) for day, s in part.days.items() if day <= today)
