"""Touchpoints and funnels: for product and marketing. What customers do, in which order."""

from __future__ import annotations

from typing import Final

from analytics.steps import parse_step
from deploy.grafana.panels import Column, Dashboard, Panel, Row, Sql, Variable, rising
from deploy.grafana.sql import CUSTOMER, IN_RANGE, chosen
from schemas.touchpoint import CHANNELS

FUNNEL: Final = ("web:product_view", "web:add_to_cart", "order:placed", "order:delivered")
_FROM: Final = f"FROM touchpoints FINAL\nWHERE {IN_RANGE} AND {chosen('channel', 'channel')}"
_WEEKS: Final = 8


def _condition(step: str) -> str:
    parsed = parse_step(step)
    return f"(channel = '{parsed.channel}' AND type = '{parsed.type}')"


def _funnel(steps: tuple[str, ...]) -> str:
    """As `analytics.funnel` counts steps of which no touchpoint matches two."""
    conditions = [_condition(step) for step in steps]
    numbers = ", ".join(str(n) for n in range(1, len(steps) + 1))
    return f"""SELECT {list(steps)}[n] AS step, countIf(level >= n) AS customers
FROM (
    SELECT windowFunnel(toUInt64(${{window}}) * 86400000)(
        toUInt64(toUnixTimestamp64Milli(occurred_at)),
        {", ".join(conditions)}) AS level
    FROM touchpoints
    WHERE {IN_RANGE} AND ({" OR ".join(conditions)})
    GROUP BY {CUSTOMER}
)
ARRAY JOIN [{numbers}] AS n
GROUP BY n
ORDER BY n"""


_NEXT: Final = f"""SELECT next AS "Next", count() AS "Times", uniqExact(owner) AS "Customers",
    "Times" / sum("Times") OVER () AS "Share"
FROM (
    SELECT {CUSTOMER} AS owner, concat(channel, ':', type) AS step,
        leadInFrame(step, 1, 'nothing within 30 minutes') OVER following AS following_step,
        leadInFrame(occurred_at, 1, occurred_at) OVER following AS following_at,
        if(following_at <= occurred_at + INTERVAL 30 MINUTE, following_step,
            'nothing within 30 minutes') AS next
    FROM touchpoints FINAL
    WHERE {IN_RANGE}
    WINDOW following AS (
        PARTITION BY owner ORDER BY occurred_at, event_id
        ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING
    )
)
WHERE step = ${{step:singlequote}}
GROUP BY next
ORDER BY "Times" DESC, next
LIMIT 10"""

_RETENTION: Final = f"""SELECT toString(cohort) AS "Week of", count() AS "Customers",
    {
    ", ".join(
        f"if(cohort + {7 * k} > today(), NULL, countIf(has(weeks, cohort + {7 * k})) / count())"
        f' AS "+{k}"'
        for k in range(1, _WEEKS + 1)
    )
}
FROM (
    SELECT groupUniqArray(toMonday(toDate(occurred_at, 'UTC'))) AS weeks,
        arrayMin(weeks) AS cohort
    FROM touchpoints
    GROUP BY {CUSTOMER}
)
GROUP BY cohort
ORDER BY cohort DESC
LIMIT 12"""

TOUCHPOINTS: Final = Dashboard(
    name="touchpoints",
    title="Touchpoints and funnels",
    says="What customers do on every channel, how far they come, and what they do next.",
    since="30d",
    refresh="5m",
    variables=(
        Variable(name="channel", label="Channel", source=CHANNELS),
        Variable(
            name="by",
            label="Broken down by",
            source=("product", "campaign", "region", "branch", "reason"),
            many=False,
        ),
        Variable(name="window", label="Funnel within days", source=("30", "7", "1"), many=False),
        Variable(
            name="step",
            label="After",
            source=(
                *("web:product_view", "web:add_to_cart", "order:placed", "order:delivered"),
                *("call_center:call", "chat:message", "packaging:scan", "store:visit"),
            ),
            many=False,
        ),
    ),
    rows=(
        Row(
            "What comes in",
            (
                Panel(
                    kind="stat",
                    title="Touchpoints",
                    says="In the time shown, each once.",
                    queries=(Sql(f"SELECT count() AS touchpoints {_FROM}"),),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Customers",
                    says="Who had any, merged as they are known now.",
                    queries=(Sql(f"SELECT uniq({CUSTOMER}) AS customers {_FROM}"),),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Channels of a customer",
                    says="On how many channels a customer was seen, on average.",
                    queries=(
                        Sql(
                            "SELECT avg(channels) AS channels FROM (\n"
                            f"SELECT uniqExact(channel) AS channels {_FROM} GROUP BY {CUSTOMER})"
                        ),
                    ),
                    decimals=2,
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="With words",
                    says="Share of touchpoints in which a customer wrote or said something.",
                    queries=(Sql(f"SELECT countIf(scorer != '') / count() AS share {_FROM}"),),
                    unit="percentunit",
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Written in Persian",
                    says="Share of those words that are Persian; the rest is English.",
                    queries=(
                        Sql(
                            "SELECT countIf(language = 'fa') / countIf(scorer != '') AS share "
                            f"{_FROM}"
                        ),
                    ),
                    unit="percentunit",
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Late by over an hour",
                    says="Share that reached Kafka over an hour after it happened.",
                    queries=(
                        Sql(
                            "SELECT countIf(received_at > occurred_at + INTERVAL 1 HOUR) / count()"
                            f" AS share {_FROM}"
                        ),
                    ),
                    unit="percentunit",
                    steps=rising(0.1, 0.5),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stack",
                    title="Touchpoints by channel",
                    says="A channel that falls silent has lost its producer.",
                    queries=(
                        Sql(
                            "SELECT $__timeInterval(occurred_at) AS time, channel, "
                            f"count() AS touchpoints\n{_FROM}\n"
                            "GROUP BY time, channel\nORDER BY time, channel"
                        ),
                    ),
                    every="1h",
                    width=16,
                    height=8,
                ),
                Panel(
                    kind="bars",
                    title="What happens most",
                    says="The fifteen most frequent kinds.",
                    queries=(
                        Sql(
                            "SELECT concat(channel, ':', type) AS kind, count() AS touchpoints\n"
                            f"{_FROM}\nGROUP BY kind\nORDER BY touchpoints DESC, kind\nLIMIT 15"
                        ),
                    ),
                    height=8,
                ),
            ),
        ),
        Row(
            "How far they come",
            (
                Panel(
                    kind="bars",
                    title="From looking to having",
                    says="Customers who came as far as each step, in order, the last so many days "
                    "after the first. `journey funnel` counts any steps, and accounts.",
                    queries=(Sql(_funnel(FUNNEL)),),
                    height=8,
                ),
                Panel(
                    kind="table",
                    title="What comes after $step",
                    says="The same customer's next touchpoint on any channel. `journey paths` "
                    "takes other steps and times.",
                    queries=(Sql(_NEXT),),
                    columns={"Share": Column(unit="percentunit", decimals=1)},
                    height=8,
                ),
                Panel(
                    kind="table",
                    title="By $by",
                    says="Touchpoints that name one, how the words in them sound, and orders.",
                    queries=(
                        Sql(
                            f"""SELECT fields[${{by:singlequote}}] AS "Value",
    count() AS "Touchpoints",
    uniq({CUSTOMER}) AS "Customers", countIf(channel = 'order' AND type = 'placed') AS "Orders",
    avgIf(sentiment, scorer != '') / 1000 AS "Sentiment",
    avgIf(distress, scorer != '') / 1000 AS "Distress"
{_FROM} AND mapContains(fields, ${{by:singlequote}})
GROUP BY "Value"
ORDER BY "Touchpoints" DESC, "Value"
LIMIT 20"""
                        ),
                    ),
                    columns={
                        "Sentiment": Column(
                            decimals=2, steps=((None, "red"), (-0.2, "orange"), (0, "green"))
                        ),
                        "Distress": Column(decimals=2, steps=rising(0.2, 0.4)),
                    },
                    height=8,
                ),
                Panel(
                    kind="table",
                    title="Who comes back, by week",
                    says="Of the customers first seen in a week, UTC, the share seen so many weeks "
                    "later. Reads the whole ledger, whatever time is shown.",
                    queries=(Sql(_RETENTION),),
                    columns={
                        f"+{k}": Column(
                            unit="percentunit",
                            decimals=0,
                            steps=((None, "red"), (0.2, "orange"), (0.4, "green")),
                        )
                        for k in range(1, _WEEKS + 1)
                    },
                    width=24,
                    height=9,
                ),
            ),
        ),
    ),
)
