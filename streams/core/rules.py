"""Outreach: which rules a customer's health calls for, decided before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from schemas.outcome import OutreachDecision
from schemas.state import Part
from streams.core.health import Health
from streams.core.journey import DAY_MS

CONSENT: Final = "consent:outreach"


@dataclass(frozen=True, slots=True)
class Rule:
    """Reach out by `action` when all the conditions hold; again after `cooldown_days` at most.

    `health_below` 0..100, `distress_from` milli-units, `cause` one of distress's causes.
    """

    name: str
    action: str
    health_below: int = 101
    distress_from: int = 0
    cause: str | None = None
    cooldown_days: int = 14

    def calls_for(self, health: Health) -> bool:
        """Whether every condition of the rule holds."""
        return (
            health.score < self.health_below
            and health.distress >= self.distress_from
            and (self.cause is None or self.cause in health.causes)
        )


RULES: Final = (
    Rule("late_delivery", "call_back", distress_from=400, cause="late delivery"),
    Rule("unresolved_contact", "call_back", distress_from=500, cause="unresolved contact"),
    Rule("in_distress", "call_task", health_below=40, distress_from=700),
    Rule("app_trouble", "e-mail", distress_from=400, cause="rage clicks"),
)


def decide(
    customer: str,
    part: Part,
    health: Health,
    reached: Mapping[str, int],
    now_ms: int,
    rules: Sequence[Rule] = RULES,
) -> list[OutreachDecision]:
    """Decisions of the rules that fire now and are not cooling down.

    `reached` maps a rule to the epoch ms of its last decision. A customer who withdrew consent to
    outreach is decided against, not left out, so that the log says why nobody called.
    """
    decisions = []
    consent = part.latest.get(CONSENT)
    withdrawn = consent is not None and consent.value == "withdrawn"
    for rule in rules:
        last = reached.get(rule.name)
        if not rule.calls_for(health):
            continue
        if last is not None and now_ms < last + rule.cooldown_days * DAY_MS:
            continue
        # The day, not the moment: deciding again after a crash gives the same decision.
        identity = f"{customer}\n{rule.name}\n{now_ms // DAY_MS}"
        decisions.append(
            OutreachDecision(
                decision_id=sha256(identity.encode()).hexdigest()[:32],
                customer=customer,
                rule=rule.name,
                action=rule.action,
                decided_ms=now_ms,
                taken=not withdrawn,
                why="consent withdrawn" if withdrawn else "; ".join(health.reasons()),
                health=health.score,
                distress=health.distress,
            )
        )
    return decisions
