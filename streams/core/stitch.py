"""A customer evaluated: its parts united, its health scored, its outreach decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.outcome import CustomerHealth, OutreachDecision
from schemas.state import Part
from streams.core.health import Health, Policy, score
from streams.core.journey import DAY_MS, CustomerState, unite
from streams.core.rules import RULES, Rule, decide


def evaluate(
    customer: str,
    state: CustomerState,
    reached: Mapping[str, int],
    now_ms: int,
    policy: Policy,
    rules: Sequence[Rule] = RULES,
) -> tuple[CustomerHealth, list[OutreachDecision]]:
    """Health as of `now_ms` and the outreach it calls for.

    A customer all of whose identifiers have moved elsewhere has no identifiers and no outreach.
    """
    parts = state.parts()
    part = unite(parts)
    health = score(part, now_ms, policy)
    decisions = decide(customer, part, health, reached, now_ms, rules) if parts else []
    reached = {**reached, **{d.rule: d.decided_ms for d in decisions}}
    return row(customer, part, len(parts), health, reached, now_ms), decisions


def row(
    customer: str,
    part: Part,
    anchors: int,
    health: Health,
    reached: Mapping[str, int],
    now_ms: int,
) -> CustomerHealth:
    """A customer's health as the record that is published and stored."""
    account = part.latest.get("account")
    return CustomerHealth(
        customer=customer,
        evaluated_ms=now_ms,
        identifiers=anchors,
        touchpoints=counted(part, now_ms),
        health=health.score,
        sentiment=health.sentiment,
        distress=health.distress,
        segment="",
        account=account.value if account is not None else "",
        components={c.name: round(1000 * c.contribution) for c in health.components},
        reasons=health.reasons(),
        reached=dict(reached),
    )


def counted(part: Part, as_of_ms: int) -> int:
    """Touchpoints up to and including the day of a moment."""
    today = as_of_ms // DAY_MS
    return sum(sums["touchpoints"] for day, sums in part.days.items() if day <= today)
