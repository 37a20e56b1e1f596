"""A customer evaluated: its parts united, its health scored, its outreach decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from schemas.outcome import CustomerHealth, OutreachRequest
from schemas.state import Part
from streams.core.health import Health, Policy, score, sentences
from streams.core.journey import DAY_MS, CustomerState, unite
from streams.core.rules import Facts, RuleSet, ask
from streams.core.value import NO_PURCHASES, Value, balance, segment_of, value

NO_RULES: Final = RuleSet()
_MOST: Final = 2**63 - 1
NONE: Final[Mapping[str, int]] = MappingProxyType({})


def evaluate(
    customer: str,
    state: CustomerState,
    reached: Mapping[str, int],
    now_ms: int,
    policy: Policy,
    ruleset: RuleSet = NO_RULES,
    holding: Mapping[str, int] = NONE,
    received_ms: int = 0,
) -> tuple[CustomerHealth, list[OutreachRequest]]:
    """Health as of `now_ms` and the outreach it calls for.

    `reached` and `holding` are what the last evaluation left (see `CustomerHealth`). A customer all
    of whose identifiers have moved elsewhere has no identifiers and no outreach.
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
) -> tuple[CustomerHealth, list[OutreachRequest]]:
    """`evaluate` of parts that are united already."""
    health, worth = assess(part, now_ms, policy)
    found = row(customer, part, len(anchors), health, worth, reached, now_ms, policy)
    if not anchors or not ruleset.rules:
        return found, []
    asked = ask(Facts(part, health, found, policy), anchors, reached, holding, ruleset, received_ms)
    if asked.requests or asked.holding:
        found = msgspec.structs.replace(found, reached=asked.reached, holding=asked.holding)
    return found, asked.requests


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
    """The health evaluated last, with the latest decision of each rule that either knows."""
    last = max(known, news, key=lambda health: health.evaluated_ms)
    reached = {
        rule: max(health.reached.get(rule, 0) for health in (known, news))
        for rule in known.reached.keys() | news.reached.keys()
    }
    return last if reached == last.reached else msgspec.structs.replace(last, reached=reached)


_MARKS: Final = ("account", "role", "review")


def counted(part: Part, as_of_ms: int) -> int:
    """Touchpoints up to and including the day of a moment."""
    today = as_of_ms // DAY_MS
    if part.last_ms // DAY_MS <= today:
        return part.n
    visits = sum(visits for day, visits in part.visits.items() if day <= today)
    return visits + sum(s.get("notices", 0) for day, s in part.days.items() if day <= today)
