"""Customer health: for customer care. Who is in trouble, why, and since when."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import (
    BAND_COLOURS,
    BANDS,
    DISTRESS,
    DISTRESSED,
    LIVE,
    Column,
    Dashboard,
    Panel,
    Prom,
    Row,
    Sql,
    Variable,
    rising,
)
from deploy.grafana.sql import ACCOUNTS, BAND, chosen, latest

_CHOSEN: Final = (
    f"identifiers > 0 AND {chosen('account', 'account')} AND {chosen('segment', 'segment')}"
)
_NOW: Final = latest("evaluated_at", "health", "distress", "account", "segment")
_REASONS: Final = (
    "arrayStringConcat(if(${language:singlequote} = 'fa', reasons_fa, reasons), ' · ')"
)
_FELL: Final = 20  # points
_LEAST: Final = f"{DISTRESSED / 1000:g}"  # a bound of the histogram

CUSTOMERS: Final = Dashboard(
    name="customers",
    title="Customer health",
    says="Health 0 to 100 and distress 0 to 1000 of every customer, and what they come from.",
    since="30d",
    refresh="1m",
    variables=(
        Variable(
            name="account",
            label="Account",
            source=Sql(
                "SELECT DISTINCT account FROM health WHERE account != '' "
                "ORDER BY account LIMIT 1000"
            ),
        ),
        Variable(
            name="segment",
            label="Segment",
            source=Sql("SELECT DISTINCT segment FROM health WHERE segment != '' ORDER BY segment"),
        ),
        Variable(
            name="language",
            label="Reasons in / دلایل به",
            source=("English : en", "فارسی : fa"),
            many=False,
        ),
    ),
    rows=(
        Row(
            "Now",
            (
                Panel(
                    kind="stat",
                    title="Customers",
                    says="Known, and still standing after merges.",
                    queries=(Sql(f"SELECT count() AS customers FROM {_NOW} WHERE {_CHOSEN}"),),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Mean health",
                    says="Red to 50, amber to 75, green above. Somebody unknown stands at 84.",
                    queries=(Sql(f"SELECT avg(health) AS health FROM {_NOW} WHERE {_CHOSEN}"),),
                    steps=BANDS,
                    decimals=1,
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="In red",
                    says="Share of customers whose health is red.",
                    queries=(
                        Sql(
                            f"SELECT countIf({BAND} = 'red') / count() AS red "
                            f"FROM {_NOW} WHERE {_CHOSEN}"
                        ),
                    ),
                    unit="percentunit",
                    steps=rising(0.05, 0.15),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="In distress",
                    says=f"Customers whose distress is {DISTRESSED} or more of 1000: act today.",
                    queries=(
                        Sql(
                            f"SELECT countIf(distress >= {DISTRESSED}) AS customers "
                            f"FROM {_NOW} WHERE {_CHOSEN}"
                        ),
                    ),
                    steps=((None, "green"), (1, "orange")),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Fell",
                    says=f"Customers who lost {_FELL} points or more in the time shown.",
                    queries=(
                        Sql(
                            f"""SELECT countIf(first - last >= {_FELL}) AS customers
FROM (
    SELECT argMin(health, evaluated_at) AS first, argMax(health, evaluated_at) AS last
    FROM health FINAL
    WHERE $__timeFilter(evaluated_at) AND {_CHOSEN}
    GROUP BY customer
)"""
                        ),
                    ),
                    steps=((None, "green"), (1, "orange")),
                    width=4,
                    height=4,
                ),
                Panel(
                    kind="stat",
                    title="Evaluated",
                    says="Customers whose health was last computed within the hour. A customer is "
                    "looked at with every touchpoint and every minute; what did not change is "
                    "not written.",
                    queries=(
                        Sql(
                            "SELECT countIf(evaluated_at > now64(3) - INTERVAL 1 HOUR) AS customers"
                            f" FROM {_NOW} WHERE {_CHOSEN}"
                        ),
                    ),
                    width=4,
                    height=4,
                ),
            ),
        ),
        Row(
            "How they stand and why",
            (
                Panel(
                    kind="stack",
                    title="Customers by band",
                    says="As of the last sweep of the workers. All customers, whatever is chosen.",
                    since=LIVE,
                    queries=(Prom("sum by (band) (journey_customers)", "{{band}}"),),
                    colours=BAND_COLOURS,
                ),
                Panel(
                    kind="lines",
                    title="Mean health and distress",
                    says="Of the customers evaluated on each day; distress as points of 100.",
                    queries=(
                        Sql(
                            f"""SELECT toDateTime(day) AS time, avg(health) AS health,
    avg(distress) / 10 AS distress
FROM health FINAL
WHERE $__timeFilter(evaluated_at) AND {_CHOSEN}
GROUP BY day
ORDER BY time"""
                        ),
                    ),
                    least=0,
                    most=100,
                    colours={"health": "green", "distress": "red"},
                ),
                Panel(
                    kind="bars",
                    title="Customers by health",
                    says="How many stand between each two tens.",
                    queries=(
                        Sql(
                            f"""SELECT format('{{}} to {{}}', 10 * ten, 10 * ten + 9) AS span,
    count() AS customers
FROM (
    SELECT least(intDiv(toInt32(health), 10), 9) AS ten FROM {_NOW} WHERE {_CHOSEN}
)
GROUP BY ten
ORDER BY ten"""
                        ),
                    ),
                ),
                Panel(
                    kind="bars",
                    title="Causes of distress",
                    says="Customers in distress, by each cause that stands behind it.",
                    queries=(
                        Sql(
                            f"""SELECT cause, count() AS customers
FROM {latest("evaluated_at", "distress", "account", "segment", "causes")}
ARRAY JOIN mapKeys(causes) AS cause
WHERE distress >= {DISTRESSED} AND {_CHOSEN}
GROUP BY cause
ORDER BY customers DESC, cause
LIMIT 12"""
                        ),
                    ),
                    empty="nobody is in distress",
                ),
                Panel(
                    kind="bars",
                    title="Points of health, by component",
                    says="The mean that each component gives to health. docs/health.md has the "
                    "weights: sentiment, effort and resolution may give most.",
                    queries=(
                        Sql(
                            f"""SELECT pair.1 AS component, avg(pair.2) / 1000 AS points
FROM {latest("evaluated_at", "account", "segment", "components")}
ARRAY JOIN CAST(components, 'Array(Tuple(String, Int64))') AS pair
WHERE {_CHOSEN}
GROUP BY component
ORDER BY points DESC"""
                        ),
                    ),
                    decimals=1,
                ),
                Panel(
                    kind="lines",
                    title="Sentiment of what they write, median",
                    says="-1 to 1, by channel. Live, so it moves before health does.",
                    since=LIVE,
                    queries=(
                        Prom(
                            "histogram_quantile(0.5, sum by (channel, le) "
                            "(rate(journey_text_sentiment_bucket[5m])))",
                            "{{channel}}",
                        ),
                    ),
                    least=-1,
                    most=1,
                ),
                Panel(
                    kind="lines",
                    title="Texts in distress, by channel",
                    says=f"Share of texts whose own distress is over {_LEAST}.",
                    since=LIVE,
                    queries=(
                        Prom(
                            "1 - sum by (channel) "
                            f'(rate(journey_text_distress_bucket{{le="{_LEAST}"}}[5m]))'
                            " / sum by (channel) "
                            '(rate(journey_text_distress_bucket{le="+Inf"}[5m]))',
                            "{{channel}}",
                        ),
                    ),
                    unit="percentunit",
                    least=0,
                    width=12,
                ),
                Panel(
                    kind="stack",
                    title="Companies by band",
                    says="As of the last sweep of the workers. All companies, whatever is chosen.",
                    since=LIVE,
                    queries=(Prom("sum by (band) (journey_accounts)", "{{band}}"),),
                    colours=BAND_COLOURS,
                    width=12,
                    empty="no touchpoint names an account",
                ),
            ),
        ),
        Row(
            "Who",
            (
                Panel(
                    kind="table",
                    title="Customers in the worst health",
                    says="`journey customer ID` tells the whole story of one.",
                    queries=(
                        Sql(
                            f"""SELECT customer AS "Customer", account AS "Account",
    segment AS "Segment", health AS "Health", distress AS "Distress",
    touchpoints AS "Touchpoints", {_REASONS} AS "Reasons", evaluated_at AS "Evaluated"
FROM {
                                latest(
                                    *("evaluated_at", "health", "distress", "account", "segment"),
                                    *("touchpoints", "reasons", "reasons_fa"),
                                )
                            }
WHERE {_CHOSEN}
ORDER BY health, distress DESC, customer
LIMIT 50"""
                        ),
                    ),
                    columns={
                        "Customer": Column(width=260),
                        "Account": Column(width=110),
                        "Segment": Column(width=90),
                        "Health": Column(steps=BANDS, width=80),
                        "Distress": Column(steps=DISTRESS, width=90),
                        "Touchpoints": Column(width=100),
                        "Evaluated": Column(unit="dateTimeFromNow", width=130),
                    },
                    width=24,
                    height=10,
                ),
                Panel(
                    kind="table",
                    title="Companies, the worst first",
                    says="Health is the mean of the contacts by the weight of their role; a red "
                    "decision maker or champion makes the company red.",
                    queries=(
                        Sql(
                            f"""SELECT account AS "Account", health AS "Health", band AS "Band",
    contacts AS "Contacts", weakest AS "Weakest contact",
    {_REASONS} AS "Reasons", evaluated_at AS "Evaluated"
FROM {ACCOUNTS}
WHERE contacts > 0 AND {chosen("account", "account")}
ORDER BY indexOf(['red', 'amber', 'green'], band), health, account
LIMIT 50"""
                        ),
                    ),
                    columns={
                        "Account": Column(width=110),
                        "Health": Column(steps=BANDS, width=80),
                        "Band": Column(width=80),
                        "Contacts": Column(width=90),
                        "Weakest contact": Column(width=220),
                        "Evaluated": Column(unit="dateTimeFromNow", width=130),
                    },
                    width=24,
                    height=8,
                    empty="no touchpoint names an account",
                ),
            ),
        ),
    ),
)
