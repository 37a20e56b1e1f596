"""The ledger read back as the records it was written from: what rebuilding starts from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clickhouse_driver import Client

from schemas.outcome import (
    Action,
    JourneyStep,
    Link,
    OutreachDecision,
    OutreachOutcome,
    Status,
)
from sinks.shards import rows_of

_STEPS: Final = """
SELECT
    toString(event_id), toUnixTimestamp64Milli(occurred_at), anchor, channel, type, stage,
    identifiers, account, text, language, sentiment, distress, scorer, fields, amount_minor,
    currency, properties, toUnixTimestamp64Milli(received_at)
FROM touchpoints FINAL
ORDER BY anchor, occurred_at, event_id
"""
# Grouped by the customer that each anchor belongs to now; sorted on disk beyond the limit.
_JOURNEYS: Final = """
SELECT
    if(identity.customer = '', t.anchor, identity.customer) AS owner,
    toString(t.event_id), toUnixTimestamp64Milli(t.occurred_at), t.anchor, t.channel, t.type,
    t.stage, t.identifiers, t.account, t.text, t.language, t.sentiment, t.distress, t.scorer,
    t.fields, t.amount_minor, t.currency, t.properties, toUnixTimestamp64Milli(t.received_at)
FROM touchpoints AS t FINAL
LEFT JOIN identity ON identity.identifier = t.anchor
ORDER BY owner, t.occurred_at, t.event_id
"""
_ON_DISK: Final = {"max_bytes_before_external_sort": 256 << 20, "max_block_size": 8_192}
_LINKS: Final = """
SELECT a, b, toString(event_id), toUnixTimestamp64Milli(occurred_at), source, action, reason
FROM identity_links FINAL
"""
_REACHED: Final = """
SELECT customer, rule, toUnixTimestamp64Milli(max(decided_at))
FROM outreach
GROUP BY customer, rule
"""
_DECISIONS: Final = """
SELECT
    decision_id, customer, rule, toUnixTimestamp64Milli(decided_at), taken, why, health, distress,
    channel, suppressed_by, detail, holdout, toUnixTimestamp64Milli(due_at),
    toUnixTimestamp64Milli(expires_at), toUnixTimestamp64Milli(requested_at), account, language,
    subject, body, ways_out, identifiers
FROM outreach FINAL
WHERE decided_at > fromUnixTimestamp64Milli(toInt64(%(since)s))
ORDER BY decided_at, decision_id
"""
# Of the days before, the last is enough.
_PASTS: Final = """
SELECT account, max(day), argMax(at_end, day)
FROM (
    SELECT account, intDiv(toUnixTimestamp64Milli(evaluated_at), 86400000) AS day,
        argMax(health, evaluated_at) AS at_end
    FROM accounts FINAL
    WHERE contacts > 0
    GROUP BY account, day
)
GROUP BY account, if(day <= %(since)s, 0, day)
"""
_OUTCOMES: Final = """
SELECT
    decision_id, customer, rule, channel, status, toUnixTimestamp64Milli(at), attempts, detail
FROM outreach_outcomes FINAL
WHERE at > fromUnixTimestamp64Milli(toInt64(%(since)s))
ORDER BY at, decision_id
"""
_BLOCK: Final = {"max_block_size": 65_536}


def size(client: Client) -> int:
    """Rows of the ledger; those that will merge count apart."""
    return int(client.execute("SELECT count() FROM touchpoints")[0][0])


def steps(client: Client) -> Iterator[JourneyStep]:
    """Every touchpoint once, grouped by anchor, in order of time."""
    for row in client.execute_iter(_STEPS, settings=_BLOCK):
        yield JourneyStep(*row)


def journeys(client: Client) -> Iterator[tuple[str, JourneyStep]]:
    """Every touchpoint once with its customer, grouped by customer, in order of time."""
    for owner, *row in client.execute_iter(_JOURNEYS, settings=_ON_DISK):
        yield owner, JourneyStep(*row)


def links(client: Client) -> Iterator[Link]:
    """Every link known, each with its earliest evidence, and the operators' latest entries."""
    for a, b, event_id, occurred_ms, source, action, reason in client.execute_iter(
        _LINKS, settings=_BLOCK
    ):
        yield Link(a, b, event_id, occurred_ms, source, Action(action), reason)


def reached(client: Client) -> dict[str, dict[str, int]]:
    """What outreach has decided: customer -> rule -> epoch ms of the last decision."""
    memory: dict[str, dict[str, int]] = {}
    for customer, rule, decided_ms in client.execute(_REACHED):
        memory.setdefault(customer, {})[rule] = decided_ms
    return memory


def decisions(client: Client, since_ms: int) -> Iterator[OutreachDecision]:
    """Decisions on outreach made after a moment, in order of time."""
    for row in client.execute_iter(_DECISIONS, {"since": since_ms}, settings=_BLOCK):
        yield OutreachDecision(*row)


def account_pasts(client: Client, since: int) -> dict[str, dict[int, int]]:
    """Health of every account at the end of days since a day, as it was published.

    Account -> day since 1970 -> health; the first day may be an earlier one.
    """
    pasts: dict[str, dict[int, int]] = {}
    for account, day, health in client.execute_iter(_PASTS, {"since": since}, settings=_BLOCK):
        pasts.setdefault(account, {})[day] = health
    return pasts


def outcomes(client: Client, since_ms: int) -> Iterator[OutreachOutcome]:
    """What became of decisions after a moment, in order of time."""
    rows = client.execute_iter(_OUTCOMES, {"since": since_ms}, settings=_BLOCK)
    for decision_id, customer, rule, channel, status, *rest in rows:
        yield OutreachOutcome(decision_id, customer, rule, channel, Status(status), *rest)


def forget_state(client: Client) -> None:
    """Empty the tables that repeat live state, so that what is rebuilt replaces it all."""
    for table in ("identity_members", "parts"):
        client.execute(f"TRUNCATE TABLE {rows_of(client, table)}")
