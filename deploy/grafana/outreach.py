"""Outreach: for those who write the rules. Who was reached, who not and why, what came of it."""

from __future__ import annotations

from typing import Final

from deploy.grafana.panels import (
    BANDS,
    DISTRESS,
    LIVE,
    Column,
    Dashboard,
    Panel,
    Prom,
    Row,
    Sql,
    Variable,
)
from deploy.grafana.sql import chosen, latest

_SENT: Final = f"{chosen('rule', 'rule')} AND {chosen('channel', 'channel')}"
_CHOSEN: Final = f"$__timeFilter(decided_at) AND {_SENT}"
_FROM: Final = f"FROM outreach FINAL\nWHERE {_CHOSEN}"
_P99: Final = "histogram_quantile(0.99, sum by (le) (rate(journey_outreach_seconds_bucket[1h])))"

# Customers by whether they were first reached or first held out; who was both is neither, as in
# `journey outreach effect`, which also gives the intervals.
_EFFECT: Final = f"""SELECT if(held_out, 'held out', 'reached') AS "Customers were",
    count() AS "Customers", avg(then) AS "Health then", avg(now.health) AS "Health now",
    avg(now.health - then) AS "Change"
FROM (
    SELECT dictGetOrDefault('customer_of', 'customer', customer, customer) AS owner,
        argMin(health, (decided_at, decision_id)) AS then, max(holdout) AS held_out
    {_FROM} AND (taken OR holdout)
    GROUP BY owner
    HAVING max(holdout) = min(holdout)
) AS first
INNER JOIN {latest("health", "evaluated_at")} AS now ON now.customer = first.owner
GROUP BY held_out
ORDER BY held_out"""


def _stat(title: str, says: str, select: str, unit: str = "short") -> Panel:
    sql = Sql(f"SELECT {select} AS value {_FROM}")
    return Panel(kind="stat", title=title, says=says, queries=(sql,), unit=unit, width=4, height=4)


OUTREACH: Final = Dashboard(
    name="outreach",
    title="Outreach",
    says="What rules asked for, what the guard let through, and how the customers fare since.",
    since="7d",
    refresh="1m",
    variables=(
        Variable(
            name="rule",
            label="Rule",
            source=Sql("SELECT DISTINCT rule FROM outreach ORDER BY rule"),
        ),
        Variable(
            name="channel",
            label="Channel",
            source=Sql("SELECT DISTINCT channel FROM outreach ORDER BY channel"),
        ),
    ),
    rows=(
        Row(
            "Decisions",
            (
                _stat("Decided", "Decisions of the guard, taken or not.", "count()"),
                _stat("Taken", "What a sender was given to send.", "countIf(taken)"),
                _stat(
                    "Share taken",
                    "The rest was suppressed, see why below.",
                    "countIf(taken) / count()",
                    "percentunit",
                ),
                _stat(
                    "Customers reached",
                    "Customers of whom something was taken, each once.",
                    "uniqExactIf(customer, taken)",
                ),
                _stat("Held out", "Left alone, to compare with.", "uniqExactIf(customer, holdout)"),
                Panel(
                    kind="stat",
                    title="Touchpoint to decision, p99",
                    says="From the broker taking the touchpoint to the guard's decision, in the "
                    "last hour.",
                    queries=(Prom(_P99),),
                    unit="s",
                    steps=((None, "green"), (5, "orange"), (30, "red")),
                    width=4,
                    height=4,
                    empty="none lately",
                ),
                Panel(
                    kind="stack",
                    title="Decisions, and what stood against",
                    says="`holdout` was left alone to compare with; quiet hours are asked again.",
                    queries=(
                        Sql(
                            "SELECT $__timeInterval(decided_at) AS time,\n"
                            "    if(taken, 'taken', toString(suppressed_by)) AS outcome, "
                            f"count() AS decisions\n{_FROM}\n"
                            "GROUP BY time, outcome\nORDER BY time, outcome"
                        ),
                    ),
                    every="1h",
                    colours={"taken": "green"},
                    width=16,
                ),
                Panel(
                    kind="bars",
                    title="Why nothing was sent",
                    says="Decisions that were not taken, by the first check that objected.",
                    queries=(
                        Sql(
                            f"SELECT suppressed_by, count() AS decisions\n{_FROM} AND NOT taken\n"
                            "GROUP BY suppressed_by\nORDER BY decisions DESC, suppressed_by"
                        ),
                    ),
                    empty="everything was sent",
                ),
                Panel(
                    kind="table",
                    title="By rule",
                    says="A rule that is mostly suppressed asks too much, or is in too many hours.",
                    queries=(
                        Sql(
                            f"""SELECT rule AS "Rule",
    count() AS "Decided", countIf(taken) AS "Taken",
    countIf(suppressed_by = 'consent') AS "No consent",
    countIf(suppressed_by = 'quiet_hours') AS "Quiet hours",
    countIf(suppressed_by = 'cooldown') AS "Cooldown",
    countIf(suppressed_by IN ('customer_cap', 'account_cap')) AS "Cap",
    countIf(suppressed_by = 'budget') AS "Budget", countIf(holdout) AS "Held out",
    avg(health) AS "Mean health", avg(distress) AS "Mean distress"
{_FROM}
GROUP BY rule
ORDER BY "Decided" DESC, rule"""
                        ),
                    ),
                    columns={
                        "Rule": Column(width=190),
                        "Mean health": Column(decimals=0, steps=BANDS),
                        "Mean distress": Column(decimals=0, steps=DISTRESS),
                    },
                    width=16,
                ),
                Panel(
                    kind="bars",
                    title="Ways out that were offered",
                    says="In messages taken; a message offers several.",
                    queries=(
                        Sql(
                            "SELECT way, count() AS messages\nFROM outreach FINAL\n"
                            "ARRAY JOIN ways_out AS way\n"
                            f"WHERE {_CHOSEN} AND taken\n"
                            "GROUP BY way\nORDER BY messages DESC, way"
                        ),
                    ),
                    empty="nothing was taken",
                ),
            ),
        ),
        Row(
            "Sending",
            (
                Panel(
                    kind="stack",
                    title="What became of what was taken",
                    says="By its newest state. `unknown` may have been sent: it is not tried "
                    "again, so that nobody is told twice.",
                    queries=(
                        Sql(
                            "SELECT $__timeInterval(at) AS time, status, count() AS messages\n"
                            "FROM outreach_outcomes FINAL\n"
                            f"WHERE $__timeFilter(at) AND {_SENT}\n"
                            "GROUP BY time, status\nORDER BY time, status"
                        ),
                    ),
                    every="1h",
                    colours={"sent": "green", "refused": "red", "unknown": "red"},
                ),
                Panel(
                    kind="table",
                    title="Sent and failed, by channel",
                    says="A channel without an endpoint, or a company that knows no address, shows "
                    "in its column.",
                    queries=(
                        Sql(
                            f"""SELECT channel AS "Channel",
    countIf(status = 'sent') AS "Sent", countIf(status IN ('sending', 'waiting')) AS "Waiting",
    countIf(status IN ('refused', 'unknown')) AS "Failed", countIf(status = 'expired') AS "Expired",
    countIf(status = 'no_endpoint') AS "No endpoint",
    countIf(status = 'no_address') AS "No address", avg(attempts) AS "Attempts"
FROM outreach_outcomes FINAL
WHERE $__timeFilter(at) AND {_SENT}
GROUP BY channel
ORDER BY channel"""
                        ),
                    ),
                    columns={
                        "Failed": Column(steps=((None, "green"), (1, "red"))),
                        "Attempts": Column(decimals=1),
                    },
                    width=10,
                ),
                Panel(
                    kind="lines",
                    title="Decision to sent, p95",
                    says="Until the endpoint had it, by channel. A message expires when quiet "
                    "hours begin.",
                    queries=(
                        Prom(
                            "histogram_quantile(0.95, sum by (channel, le) "
                            "(rate(journey_outreach_sent_seconds_bucket[5m])))",
                            "{{channel}}",
                        ),
                    ),
                    unit="s",
                    width=6,
                    empty="nothing was sent",
                ),
                Panel(
                    kind="lines",
                    title="Attempts, by endpoint",
                    says="`waiting` failed and is tried again; `refused` never will be taken.",
                    queries=(
                        Prom(
                            "sum by (endpoint, status) (rate(journey_endpoint_attempts_total[5m]))",
                            "{{endpoint}}: {{status}}",
                        ),
                    ),
                    unit="cps",
                    empty="no endpoint was tried",
                ),
                Panel(
                    kind="lines",
                    title="Ended live, by channel and status",
                    says="What senders finish with now; restarts of a sender begin at zero.",
                    queries=(
                        Prom(
                            "sum by (channel, status) (rate(journey_outreach_outcomes_total[5m]))",
                            "{{channel}}: {{status}}",
                        ),
                    ),
                    unit="cps",
                    empty="nothing ended",
                ),
                Panel(
                    kind="states",
                    title="Circuit breakers",
                    says="Open: the endpoint failed too often and is left alone for a while.",
                    queries=(Prom("max by (endpoint) (journey_endpoint_breaker)", "{{endpoint}}"),),
                    values={
                        "0": ("closed", "green"),
                        "1": ("half open", "orange"),
                        "2": ("open", "red"),
                    },
                    empty="no endpoint",
                ),
                Panel(
                    kind="lines",
                    title="An attempt, by endpoint, p99",
                    says="How long an endpoint takes to answer.",
                    queries=(
                        Prom(
                            "histogram_quantile(0.99, sum by (endpoint, le) "
                            "(rate(journey_endpoint_seconds_bucket[5m])))",
                            "{{endpoint}}",
                        ),
                    ),
                    unit="s",
                    width=12,
                    empty="no endpoint was tried",
                ),
                Panel(
                    kind="lines",
                    title="Waiting for an endpoint",
                    says="Decisions in a sender's memory; what is beyond waits in Kafka.",
                    queries=(Prom("sum by (endpoint) (journey_endpoint_backlog)", "{{endpoint}}"),),
                    width=12,
                    empty="no endpoint",
                ),
            ),
            folded=True,
        ),
        Row(
            "What came of it",
            (
                Panel(
                    kind="table",
                    title="Reached against held out",
                    says="Health when first reached or held out in the time shown, and now. A "
                    "glance: `journey outreach effect` compares after so many days, with "
                    "intervals, and says when there are too few.",
                    queries=(Sql(_EFFECT),),
                    columns={
                        "Health then": Column(decimals=1),
                        "Health now": Column(decimals=1),
                        "Change": Column(
                            decimals=1, steps=((None, "red"), (-1, "orange"), (1, "green"))
                        ),
                    },
                ),
                Panel(
                    kind="table",
                    title="By channel and language",
                    says="Messages taken. The language is the one the customer last wrote in.",
                    queries=(
                        Sql(
                            'SELECT channel AS "Channel", language AS "Language", '
                            f'count() AS "Messages"\n{_FROM} AND taken\n'
                            'GROUP BY channel, language\nORDER BY "Messages" DESC, channel'
                        ),
                    ),
                ),
                Panel(
                    kind="lines",
                    title="Decisions a second, and why not",
                    says="Live: what rules ask for now, and the checks that object.",
                    since=LIVE,
                    queries=(
                        Prom("sum(rate(journey_outreach_total[5m]))", "decided"),
                        Prom('sum(rate(journey_outreach_total{taken="true"}[5m]))', "taken"),
                        Prom(
                            "sum by (suppressed_by) (rate(journey_outreach_suppressed_total[5m]))",
                            "{{suppressed_by}}",
                        ),
                    ),
                    unit="cps",
                ),
                Panel(
                    kind="table",
                    title="The newest decisions",
                    says="`journey outreach list` tells them with their texts.",
                    queries=(
                        Sql(
                            f"""SELECT decided_at AS "Decided", customer AS "Customer",
    rule AS "Rule", channel AS "Channel",
    if(taken, 'taken', toString(suppressed_by)) AS "Outcome", why AS "Why",
    arrayStringConcat(ways_out, ', ') AS "Ways out", health AS "Health", distress AS "Distress"
{_FROM}
ORDER BY decided_at DESC, decision_id
LIMIT 100"""
                        ),
                    ),
                    columns={
                        "Decided": Column(unit="dateTimeFromNow", width=130),
                        "Customer": Column(width=260),
                        "Rule": Column(width=160),
                        "Channel": Column(width=100),
                        "Outcome": Column(width=110),
                        "Health": Column(steps=BANDS, width=80),
                        "Distress": Column(steps=DISTRESS, width=90),
                    },
                    width=24,
                    height=10,
                ),
            ),
        ),
    ),
)
