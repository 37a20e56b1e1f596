"""Retention: of the customers first seen in a week, how many come in the weeks after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from clickhouse_driver import Client

from analytics.ledger import CUSTOMER


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers first seen in the week that starts on Monday `week`, UTC.

    `active[k]` is how many of them had a touchpoint k weeks later; `active[0]` is all of them.
    """

    week: date
    active: tuple[int, ...]


# A touchpoint that is stored twice is in the same week twice: no FINAL.
_ACTIVE = f"""
SELECT cohort, intDiv(week - cohort, 7) AS later, count() AS customers
FROM (
    SELECT groupUniqArray(toMonday(toDate(occurred_at, 'UTC'))) AS weeks,
        arrayMin(weeks) AS cohort
    FROM touchpoints
    GROUP BY {CUSTOMER}
)
ARRAY JOIN weeks AS week
GROUP BY cohort, later
ORDER BY cohort, later
"""


def retention(client: Client, *, weeks: int = 12) -> list[Cohort]:
    """The newest cohorts, oldest first, at most `weeks` of them and as many weeks of each.

    A week without any customer's first touchpoint has no cohort.
    """
    found: dict[date, dict[int, int]] = {}
    for cohort, later, customers in client.execute(_ACTIVE):
        found.setdefault(cohort, {})[later] = customers
    return [
        Cohort(week, tuple(active.get(k, 0) for k in range(min(max(active) + 1, weeks))))
        for week, active in sorted(found.items())[-weeks:]
    ]
