"""The log of outreach, and what became of the customers reached and held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from clickhouse_driver import Client

from analytics.live import parts_of
from schemas.state import Part
from streams.core.effect import Effect, Group, compare
from streams.core.evidence import DAY_MS
from streams.core.journey import unite
from streams.core.policy import Policy
from streams.core.stitch import assess

_LOG: Final = """
SELECT
    toUnixTimestamp64Milli(decided_at), customer, decided.rule, decided.channel, taken,
    suppressed_by, decided.detail, why,
    health, distress, account, language, subject, body, ways_out, holdout,
    toUnixTimestamp64Milli(due_at), decision_id, status, ended.attempts, ended.detail,
    toUnixTimestamp64Milli(at)
FROM outreach AS decided FINAL
LEFT JOIN (SELECT * FROM outreach_outcomes FINAL) AS ended USING (customer, decision_id)
WHERE (%(all)s OR customer IN %(names)s) AND (%(rule)s = '' OR decided.rule = %(rule)s)
ORDER BY decided_at DESC, decision_id
LIMIT %(newest)s
"""
# The first time that a customer, by its present id, was reached or held out. Whoever was once
# reached and once held out, as those who were merged may be, belongs to neither group.
_FIRST: Final = """
SELECT
    dictGetOrDefault('customer_of', 'customer', customer, customer) AS owner,
    min(toUnixTimestamp64Milli(decided_at)), argMin(health, (decided_at, decision_id)),
    max(holdout), min(holdout)
FROM outreach FINAL
WHERE (taken OR holdout) AND (%(rule)s = '' OR rule = %(rule)s)
GROUP BY owner
HAVING max(holdout) = min(holdout)
    AND min(decided_at) <= fromUnixTimestamp64Milli(toInt64(%(until)s))
ORDER BY owner
"""
_BATCH: Final = 500
_SETTINGS: Final = {"max_block_size": 8_192}


class Logged(NamedTuple):
    """A decision as the log tells it; times in epoch ms."""

    decided_ms: int
    customer: str
    rule: str
    channel: str
    taken: bool
    suppressed_by: str
    detail: str
    why: str
    health: int
    distress: int
    account: str
    language: str
    subject: str
    body: str
    ways_out: list[str]
    holdout: bool
    due_ms: int
    decision_id: str
    outcome: str  # a `schemas.outcome.Status`; empty where no dispatcher has seen it
    attempts: int
    outcome_detail: str
    outcome_ms: int


class First(NamedTuple):
    """When a customer was first reached or held out, and the health it had then."""

    customer: str
    at_ms: int
    health: int
    held_out: bool


def logged(
    client: Client, identifiers: Sequence[str] | None, rule: str, newest: int
) -> list[Logged]:
    """The newest decisions, of a customer's identifiers or of everybody; newest first."""
    names = tuple(identifiers) if identifiers is not None else ("",)
    asked = {"all": identifiers is None, "names": names, "rule": rule, "newest": newest}
    return [Logged(*row) for row in client.execute(_LOG, asked)]


def effect(
    client: Client, other: Client, rule: str, days: int, now_ms: int, policy: Policy
) -> Effect:
    """Health and return within so many days of the first time a customer was reached or held out.

    A customer left who did not come back of its own accord in that time. Customers whose time is
    not over are not counted. The two clients are read side by side.
    """
    groups = {False: Group(), True: Group()}
    span_ms = days * DAY_MS
    found = _firsts(client, rule, now_ms - span_ms)
    while batch := list(islice(found, _BATCH)):
        stored = parts_of(other, [first.customer for first in batch])
        for first in batch:
            part = unite(stored.get(first.customer, {}).values())
            then = first.at_ms + span_ms
            health, _ = assess(part, then, policy)
            came_back = _visited(part, first.at_ms // DAY_MS, then // DAY_MS)
            groups[first.held_out].add(health.score - first.health, not came_back)
    return compare(groups[False], groups[True])


def _firsts(client: Client, rule: str, until_ms: int) -> Iterator[First]:
    rows = client.execute_iter(_FIRST, {"rule": rule, "until": until_ms}, settings=_SETTINGS)
    for customer, at_ms, health, held_out, _ in rows:
        yield First(customer, at_ms, health, bool(held_out))


def _visited(part: Part, after_day: int, last_day: int) -> bool:
    return any(after_day < day <= last_day for day in part.visits)
