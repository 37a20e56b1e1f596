"""The business at a glance: for management. Sales, promises, satisfaction, who is at risk."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import (
    BAND_COLOURS,
    BANDS,
    DISTRESSED,
    LIVE,
    Column,
    Dashboard,
    Panel,
    Prom,
    Row,
    Sql,
    Steps,
    Variable,
    falling,
    rising,
)
from deploy.grafana.sql import ACCOUNTS, BAND, CUSTOMER, IN_RANGE, latest
from streams.core.survey import BOXES

_NOW: Final = latest(
    "evaluated_at", "health", "distress", "account", "segment", "currency", "clv_minor"
)
_CURRENCY: Final = "currency = ${currency:singlequote}"
_ORDERS: Final = f"FROM touchpoints FINAL\nWHERE {IN_RANGE} AND channel = 'order'"
_SURVEY: Final = "fields['survey']"
_ANSWER: Final = "toInt64OrZero(fields['answer'])"
_ANSWERS: Final = (
    f"FROM touchpoints FINAL\nWHERE {IN_RANGE} AND mapContains(fields, 'answer')\n"
    f"    AND {_SURVEY} IN ('nps', 'csat', 'ces')"
)


def _share(survey: str, box: str) -> str:
    """Per cent of a survey's answers that count as `box`; nothing where there is none."""
    answers = ", ".join(str(a) for (asked, a), counted in BOXES.items() if counted == box)
    of = f"countIf({_SURVEY} = '{survey}')"
    return f"100 * countIf({_SURVEY} = '{survey}' AND {_ANSWER} IN ({answers})) / nullIf({of}, 0)"


_NPS: Final = f"{_share('nps', 'promoters')} - {_share('nps', 'detractors')}"
_CSAT: Final = _share("csat", "satisfied")
_CES: Final = _share("ces", "easy")


def _stat(title: str, says: str, sql: str, unit: str = "short", steps: Steps = ()) -> Panel:
    return Panel(
        kind="stat",
        title=title,
        says=says,
        queries=(Sql(sql),),
        unit=unit,
        steps=steps,
        decimals=None if unit == "short" else 1,
        width=4,
        height=4,
        empty="none",
    )


_PROMISES: Final = f"""(
    SELECT minIf(occurred_at, type = 'delivered') AS delivered,
        minIf(toInt64OrZero(fields['promised_at']), mapContains(fields, 'promised_at')) AS promised
    {_ORDERS} AND mapContains(fields, 'order')
    GROUP BY fields['order']
    HAVING promised > 0 AND countIf(type = 'delivered') > 0
)"""
_KEPT: Final = "countIf(toUnixTimestamp64Milli(delivered) <= promised) / count()"


def _broken_down(measure: str) -> str:
    """A recorded measure of distress, by `value` of the breakdown chosen."""
    return (
        f'label_join(journey:breakdown_distressing:{measure}{{breakdown="$by"}}, '
        '"value", "", "product", "region", "campaign")'
    )


BUSINESS: Final = Dashboard(
    name="business",
    title="Business overview",
    says="How customers fare and what the company gets for it, on one page.",
    since="30d",
    refresh="5m",
    variables=(
        Variable(
            name="currency",
            label="Currency",
            source=Sql(
                "SELECT DISTINCT currency FROM touchpoints "
                "WHERE channel = 'order' AND currency != '' ORDER BY currency"
            ),
            many=False,
        ),
        Variable(
            name="by",
            label="Compare by",
            source=("product", "region", "campaign"),
            many=False,
        ),
    ),
    rows=(
        Row(
            "At a glance",
            (
                _stat(
                    "Customers in red",
                    "Share of all customers whose health is 50 or less, now.",
                    f"SELECT countIf({BAND} = 'red') / count() AS red FROM {_NOW} "
                    "WHERE identifiers > 0",
                    "percentunit",
                    rising(0.05, 0.15),
                ),
                _stat(
                    "Deliveries on time",
                    "Of the orders with a promised time that came in the time shown.",
                    f"SELECT {_KEPT} AS kept FROM {_PROMISES}",
                    "percentunit",
                    falling(0.85, 0.95),
                ),
                _stat(
                    "Net promoters",
                    "-100 to 100: answers of 9 and 10 less those of 0 to 6, in per cent.",
                    f"SELECT {_NPS} AS nps {_ANSWERS}",
                    "none",
                    falling(0, 30),
                ),
                _stat(
                    "Satisfied",
                    "CSAT: answers of 4 and 5 of 5.",
                    f"SELECT {_CSAT} AS csat {_ANSWERS}",
                    "percent",
                    falling(70, 85),
                ),
                _stat(
                    "It was easy",
                    "CES: answers of 5 to 7 of 7.",
                    f"SELECT {_CES} AS ces {_ANSWERS}",
                    "percent",
                    falling(60, 80),
                ),
                _stat(
                    "Solved at once",
                    "Calls and chats that were resolved, of those that say.",
                    "SELECT countIf(fields['resolved'] = 'true') / count() AS solved\n"
                    f"FROM touchpoints FINAL\nWHERE {IN_RANGE} AND mapContains(fields, 'resolved')",
                    "percentunit",
                    falling(0.6, 0.8),
                ),
            ),
        ),
        Row(
            "Sales and promises",
            (
                Panel(
                    kind="stack",
                    title="Sales in $currency",
                    says="Placed, less refunded and cancelled, by day. Hundredths make one.",
                    queries=(
                        Sql(
                            f"""SELECT $__timeInterval(occurred_at) AS time,
    sumIf(amount_minor, type = 'placed') / 100 AS placed,
    -sumIf(abs(amount_minor), type IN ('refunded', 'cancelled')) / 100 AS given_back
{_ORDERS} AND {_CURRENCY}
GROUP BY time
ORDER BY time"""
                        ),
                    ),
                    every="1d",
                    colours={"placed": "green", "given_back": "red"},
                ),
                Panel(
                    kind="lines",
                    title="Orders, returns and cancellations",
                    says="By day, in every currency.",
                    queries=(
                        Sql(
                            f"""SELECT $__timeInterval(occurred_at) AS time,
    countIf(type = 'placed') AS orders, countIf(type = 'returned') AS returns,
    countIf(type = 'cancelled') AS cancellations
{_ORDERS}
GROUP BY time
ORDER BY time"""
                        ),
                    ),
                    every="1d",
                    colours={"orders": "green", "returns": "orange", "cancellations": "red"},
                ),
                Panel(
                    kind="lines",
                    title="Deliveries on time",
                    says="Share by day of delivery; the promise that counts is the first.",
                    queries=(
                        Sql(
                            f"SELECT $__timeInterval(delivered) AS time, {_KEPT} AS kept\n"
                            f"FROM {_PROMISES}\nGROUP BY time\nORDER BY time"
                        ),
                    ),
                    unit="percentunit",
                    least=0,
                    most=1,
                    steps=falling(0.85, 0.95),
                    every="1d",
                ),
            ),
        ),
        Row(
            "How customers fare",
            (
                Panel(
                    kind="lines",
                    title="Surveys, by week",
                    says="Net promoters -100 to 100; satisfied and easy in per cent. Few answers "
                    "jump; `journey survey` has their numbers.",
                    queries=(
                        Sql(
                            f"SELECT $__timeInterval(occurred_at) AS time,\n    {_NPS} AS nps,\n"
                            f"    {_CSAT} AS csat,\n    {_CES} AS ces\n{_ANSWERS}\n"
                            "GROUP BY time\nORDER BY time"
                        ),
                    ),
                    unit="none",
                    every="7d",
                ),
                Panel(
                    kind="lines",
                    title="Contacts per 100 orders",
                    says="Calls and chats begun per 100 orders placed, by day: what goes wrong "
                    "elsewhere shows here first.",
                    queries=(
                        Sql(
                            f"""SELECT $__timeInterval(occurred_at) AS time,
    100 * (countIf(channel = 'call_center' AND type = 'call')
        + uniqExactIf({CUSTOMER}, channel = 'chat'))
        / nullIf(countIf(channel = 'order' AND type = 'placed'), 0) AS contacts
FROM touchpoints FINAL
WHERE {IN_RANGE} AND channel IN ('call_center', 'chat', 'order')
GROUP BY time
ORDER BY time"""
                        ),
                    ),
                    every="1d",
                ),
                Panel(
                    kind="stack",
                    title="Customers by segment",
                    says="Of those who have bought; docs/health.md says what each means.",
                    since=LIVE,
                    queries=(
                        Prom(
                            'sum by (segment) (journey_customers{segment!="none"})', "{{segment}}"
                        ),
                    ),
                    colours={
                        "devotee": "green",
                        "promising": "blue",
                        "at risk": "orange",
                        "lost": "red",
                    },
                ),
                Panel(
                    kind="lines",
                    title="Trouble now, by $by",
                    says="Share of the touchpoints of five minutes that tell of trouble: the eight "
                    "highest. Those over a day late are not counted.",
                    since=LIVE,
                    queries=(Prom(f"topk(8, {_broken_down('share5m')})", "{{value}}"),),
                    unit="percentunit",
                    least=0,
                    width=12,
                    empty="nothing in five minutes",
                ),
                Panel(
                    kind="lines",
                    title="How unusual that is, by $by",
                    says="Standard deviations above its own baseline, of the hour before, "
                    "yesterday and last week. JourneyDistressRising: over 5.",
                    since=LIVE,
                    queries=(Prom(f"topk(8, {_broken_down('sigmas')})", "{{value}}"),),
                    unit="none",
                    steps=((None, "green"), (5, "red")),
                    width=12,
                    empty="nothing in five minutes",
                ),
                Panel(
                    kind="table",
                    title="Where it hurts, by $by",
                    says="Touchpoints with words, how they sound, and calls that were not solved.",
                    queries=(
                        Sql(
                            f"""SELECT fields[${{by:singlequote}}] AS "Value",
    count() AS "Touchpoints",
    uniq({CUSTOMER}) AS "Customers",
    countIf(distress >= {DISTRESSED}) / count() AS "In distress",
    countIf(type IN ('returned', 'cancelled')) / nullIf(countIf(type = 'placed'), 0) AS "Given back"
FROM touchpoints FINAL
WHERE {IN_RANGE} AND mapContains(fields, ${{by:singlequote}})
GROUP BY "Value"
ORDER BY "In distress" DESC, "Touchpoints" DESC, "Value"
LIMIT 15"""
                        ),
                    ),
                    columns={
                        "In distress": Column(
                            unit="percentunit", decimals=1, steps=rising(0.02, 0.1)
                        ),
                        "Given back": Column(
                            unit="percentunit", decimals=1, steps=rising(0.05, 0.15)
                        ),
                    },
                    width=12,
                ),
                Panel(
                    kind="table",
                    title="By channel",
                    says="What customers say where: share of words in distress, mean sentiment.",
                    queries=(
                        Sql(
                            f"""SELECT channel AS "Channel", count() AS "Touchpoints",
    uniq({CUSTOMER}) AS "Customers", countIf(scorer != '') AS "With words",
    countIf(distress >= {DISTRESSED}) / nullIf("With words", 0) AS "In distress",
    sumIf(sentiment, scorer != '') / nullIf("With words", 0) / 1000 AS "Sentiment"
FROM touchpoints FINAL
WHERE {IN_RANGE}
GROUP BY channel
ORDER BY "Touchpoints" DESC"""
                        ),
                    ),
                    columns={
                        "In distress": Column(
                            unit="percentunit", decimals=1, steps=rising(0.1, 0.25)
                        ),
                        "Sentiment": Column(
                            decimals=2, steps=((None, "red"), (-0.2, "orange"), (0, "green"))
                        ),
                    },
                    width=12,
                ),
            ),
        ),
        Row(
            "What is at stake",
            (
                Panel(
                    kind="table",
                    title="Value by segment",
                    says="Expected value of a year in $currency, from customers who paid in it; "
                    "zero until `journey fit-value` has run.",
                    queries=(
                        Sql(
                            f"""SELECT segment AS "Segment", count() AS "Customers",
    sum(clv_minor) / 100 AS "Value of a year", avg(health) AS "Mean health",
    countIf({BAND} = 'red') AS "In red"
FROM {_NOW}
WHERE identifiers > 0 AND segment != '' AND currency IN (${{currency:singlequote}}, '')
GROUP BY segment
ORDER BY "Value of a year" DESC, segment"""
                        ),
                    ),
                    columns={
                        "Mean health": Column(decimals=0, steps=BANDS),
                        "In red": Column(steps=((None, "green"), (1, "red"))),
                    },
                ),
                Panel(
                    kind="stack",
                    title="Customers by band",
                    says="As of the last sweep of the workers.",
                    since=LIVE,
                    queries=(Prom("sum by (band) (journey_customers)", "{{band}}"),),
                    colours=BAND_COLOURS,
                ),
                Panel(
                    kind="table",
                    title="Companies to call",
                    says="The worst band first: a red decision maker makes a company red.",
                    queries=(
                        Sql(
                            f"""SELECT account AS "Account", contacts AS "Contacts",
    health AS "Health", weakest AS "Weakest contact"
FROM {ACCOUNTS}
WHERE contacts > 0
ORDER BY indexOf(['red', 'amber', 'green'], band), health, account
LIMIT 20"""
                        ),
                    ),
                    columns={
                        "Health": Column(steps=BANDS, width=80),
                        "Contacts": Column(width=80),
                    },
                ),
            ),
        ),
    ),
)
