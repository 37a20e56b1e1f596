"""Alerts of Prometheus to outreach: which rules want one, and what they ask the guard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from schemas.outcome import OutreachRequest
from streams.core.breakdown import BREAKDOWNS, DIMENSIONS, OTHER
from streams.core.quiet import zone_of
from streams.core.rules import Facts, Limits, Rule, RuleSet, request_of

_NAMES: Final = {frozenset(DIMENSIONS[at] for at in at_): n for n, (at_, _) in BREAKDOWNS.items()}


class Alert(NamedTuple):
    """A firing alert. Its fingerprint and when it began tell it from every other."""

    name: str
    fingerprint: str
    began_ms: int
    labels: Mapping[str, str]

    def about(self) -> dict[str, str]:
        """What it is about: dimension -> value; empty where it names nothing to look for."""
        found = {name: self.labels[name] for name in DIMENSIONS if self.labels.get(name)}
        return {} if OTHER in found.values() else found


def rules_for(alert: Alert, ruleset: RuleSet) -> list[Rule]:
    """The rules on such an alert, in the order of the file."""
    about = alert.about()
    breakdown = _NAMES.get(frozenset(about), "")
    return [
        rule
        for rule in ruleset.rules
        if about
        and (wanted := rule.on_alert) is not None
        and wanted.name == alert.name
        and (not wanted.breakdowns or breakdown in wanted.breakdowns)
    ]


def ask_for(
    alert: Alert, rule: Rule, facts: Facts, identifiers: Iterable[str], limits: Limits
) -> OutreachRequest | None:
    """What a rule asks the guard about a customer whom an alert is about.

    However often the alert is told, and by however many, it is one question; what the guard
    deferred in quiet hours is another one when these are over. None where conditions do not hold.
    """
    if not rule.holds(facts):
        return None
    now_ms = facts.row.evaluated_ms
    opens_ms = limits.quiet.opens(now_ms, zone_of(facts.mark("time_zone"), limits.zone))
    deferred = opens_ms if opens_ms > now_ms else 0
    question = f"{alert.fingerprint}\n{alert.began_ms}\n{deferred}"
    about = alert.about()
    told = ", ".join(f"{name} {value}" for name, value in about.items())
    return request_of(
        rule, facts, identifiers, limits, question, about=about, why=f"alert {alert.name}: {told}"
    )
