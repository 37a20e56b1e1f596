"""Paths: what customers do next after a step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clickhouse_driver import Client

from analytics.ledger import CUSTOMER, MILLISECONDS, period
from analytics.steps import parse_step


@dataclass(frozen=True, slots=True)
class Transition:
    """How often, and for how many customers, `next` came next; empty where nothing came."""

    next: str
    times: int
    customers: int


def paths(
    client: Client,
    step: str,
    *,
    within_seconds: float = 1_800,
    top: int = 10,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Transition]:
    """The most frequent next touchpoints, `channel:type`, after a step. Raises BadStep.

    Next is the customer's touchpoint after it in order of time, then event id, on any channel,
    at most `within_seconds` later.
    """
    condition, values = parse_step(step).condition("step")
    within, bounds = period(since, until)
    values |= bounds | {"top": top, "within": round(within_seconds * 1000)}
    # Only customers that took the step are put in order.
    sql = f"""
SELECT if(next_ms > 0 AND next_ms - ms <= %(within)s, next_step, '') AS next,
    count() AS times, uniqExact(owner) AS customers
FROM (
    SELECT {CUSTOMER} AS owner, {MILLISECONDS} + 1 AS ms, {condition} AS hit,
        leadInFrame(concat(channel, ':', type)) OVER following AS next_step,
        leadInFrame(ms) OVER following AS next_ms
    FROM touchpoints FINAL
    WHERE {within} AND owner IN (
        SELECT {CUSTOMER} FROM touchpoints WHERE {condition} AND {within}
    )
    WINDOW following AS (
        PARTITION BY owner ORDER BY ms, event_id ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING
    )
)
WHERE hit
GROUP BY next
ORDER BY times DESC, next
LIMIT %(top)s"""
    return [Transition(*row) for row in client.execute(sql, values)]
