"""Funnels: how many customers went through which steps, in order, within a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from clickhouse_driver import Client

from analytics.ledger import CUSTOMER, MILLISECONDS, period
from analytics.steps import are_disjoint, parse_step

MOST_STEPS: Final = 32  # of windowFunnel
Unit = Literal["customer", "account"]


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """How many customers, or accounts, came as far as this step."""

    step: str
    customers: int


def funnel(
    client: Client,
    steps: Sequence[str],
    window_seconds: float,
    *,
    unit: Unit = "customer",
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[FunnelStep]:
    """Count the customers that reached each step, the last at most a window after the first.

    Each step needs a touchpoint of its own, none earlier than the step's before. Touchpoints of
    one millisecond come in the order of the steps that they match. As an account's count all
    touchpoints that name it, and those without an account of customers whose latest it is.
    Raises BadStep, and ValueError for a window or number of steps that makes no funnel.
    """
    sql, values, texts = funnel_sql(steps, window_seconds, unit=unit, since=since, until=until)
    reached = dict(client.execute(sql, values))
    counts = [sum(n for level, n in reached.items() if level > at) for at in range(len(texts))]
    return [FunnelStep(text, count) for text, count in zip(texts, counts, strict=True)]


def funnel_sql(
    steps: Sequence[str],
    window_seconds: float,
    *,
    unit: Unit = "customer",
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[str, dict[str, Any], list[str]]:
    """The query of a funnel: rows (level, customers), its parameters, and the steps' texts."""
    parsed = [parse_step(step) for step in steps]
    if not 1 <= len(parsed) <= MOST_STEPS:
        raise ValueError(f"a funnel has 1 to {MOST_STEPS} steps, not {len(parsed)}")
    if not window_seconds > 0:
        raise ValueError(f"a window is longer than 0 seconds, not {window_seconds}")
    within, values = period(since, until)
    values["window"] = round(window_seconds * 1000)
    conditions = []
    for index, step in enumerate(parsed):
        condition, parameters = step.condition(f"s{index}")
        conditions.append(condition)
        values |= parameters
    levels = _by_window_funnel if are_disjoint(parsed) else _by_running_maximum
    source, owner = _SOURCES[unit]
    if unit == "account":
        within += f" AND {owner} != ''"
    sql = f"""
SELECT level, count() AS units
FROM ({levels(source, owner, within, conditions)})
WHERE level > 0
GROUP BY level"""
    return sql, values, [step.text for step in parsed]


# unit -> what to read (FINAL where asked for), and whose touchpoint a row is
_SOURCES: Final[dict[Unit, tuple[str, str]]] = {
    "customer": ("touchpoints {final}", CUSTOMER),
    "account": (
        f"""(
    SELECT *, {CUSTOMER} AS customer FROM touchpoints {{final}}
) AS steps LEFT JOIN (
    SELECT {CUSTOMER} AS customer, argMax(account, (occurred_at, event_id)) AS latest
    FROM touchpoints WHERE account != '' GROUP BY customer
) AS accounts USING customer""",
        "if(account != '', account, latest)",
    ),
}


def _by_window_funnel(source: str, owner: str, within: str, conditions: list[str]) -> str:
    """Levels where no touchpoint matches two steps: then one that is stored twice does no harm.

    Groups are told apart by 128 bits of hash, which takes a quarter less CPU than by names.
    """
    return f"""
SELECT windowFunnel(%(window)s)(toUInt64({MILLISECONDS}), {", ".join(conditions)}) AS level
FROM {source.format(final="")}
WHERE ({" OR ".join(conditions)}) AND {within}
GROUP BY sipHash128({owner})"""


def _by_running_maximum(source: str, owner: str, within: str, conditions: list[str]) -> str:
    """Levels where a touchpoint may match several steps, of which it takes one.

    `start_i` is, for a row that ends a chain of i steps, the latest possible start of the chain
    (ms + 1, 0 for none). windowFunnel counts one touchpoint twice here, and its mode
    `strict_once`, which does not, needs memory exponential in the touchpoints.
    """
    flags = ", ".join(f"{condition} AS c{i}" for i, condition in enumerate(conditions))
    matched = "[" + ", ".join(f"c{i}" for i in range(len(conditions))) + "]"
    layer = f"""
SELECT {owner} AS owner, {MILLISECONDS} AS ms, event_id, {flags}, {matched} AS matched,
    arrayFirstIndex(c -> c, matched) AS first, arrayLastIndex(c -> c, matched) AS last,
    if(c0, ms + 1, 0) AS start_0
FROM {source.format(final="FINAL")}
WHERE ({" OR ".join(conditions)}) AND {within}"""
    for i in range(1, len(conditions)):
        layer = f"""
SELECT *, max(start_{i - 1}) OVER before AS open_{i},
    if(c{i} AND open_{i} > 0 AND ms + 1 - open_{i} <= %(window)s, open_{i}, 0) AS start_{i}
FROM ({layer})
WINDOW before AS (
    PARTITION BY owner ORDER BY ms, first, last, event_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
)"""
    reached = ", ".join(f"(start_{i} > 0) * {i + 1}" for i in range(len(conditions)))
    return f"SELECT max(arrayMax([{reached}])) AS level FROM ({layer}) GROUP BY owner"
