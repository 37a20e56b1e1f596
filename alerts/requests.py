"""A firing alert to requests: the customers it is about, asked for by the rules on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clickhouse_driver import Client

from analytics.affected import affected
from schemas.outcome import OutreachRequest
from streams.core.alerts import Alert, ask_for, rules_for
from streams.core.evidence import DAY_MS
from streams.core.journey import unite
from streams.core.policy import Policy
from streams.core.rules import Facts, RuleSet
from streams.core.stitch import assess, row

# An alert that fires for longer is about those of the last days; of the others all were asked.
LONGEST_MS: Final = 3 * DAY_MS


def requests_of(
    alert: Alert,
    ruleset: RuleSet,
    policy: Policy,
    now_ms: int,
    client: Client,
    other: Client,
) -> Iterator[OutreachRequest]:
    """What the rules on an alert ask the guard as of now, rule after rule, in order of customer."""
    for rule in rules_for(alert, ruleset):
        assert rule.on_alert is not None  # `rules_for`
        since_ms = max(alert.began_ms - rule.on_alert.back_ms, now_ms - LONGEST_MS)
        for customer, parts in affected(client, other, alert.about(), since_ms):
            part = unite(parts.values())
            health, worth = assess(part, now_ms, policy)
            found = row(customer, part, len(parts), health, worth, {}, now_ms, policy)
            facts = Facts(part, health, found, policy)
            asked = ask_for(alert, rule, facts, parts, ruleset.limits)
            if asked is not None:
                yield asked
