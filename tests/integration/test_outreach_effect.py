"""The effect and the backtest over a ledger that is known to the last row."""

from __future__ import annotations

import msgspec
import pytest
from clickhouse_driver import Client

from analytics.backtest import backtest
from analytics.outreach import effect, logged
from analytics.replay import decisions
from schemas.outcome import Member, OutreachDecision
from schemas.state import Part
from sinks.clickhouse import connect
from sinks.rows import IDENTITY_MEMBERS, OUTREACH, PARTS, TOUCHPOINTS, PartRow
from sinks.shards import rows_of
from sinks.writer import ClickHouseWriter
from streams.core.evidence import DAY_MS
from streams.core.journey import apply
from streams.core.policy import Policy
from streams.core.rules import Cap, Limits, Range, Rule, RuleSet
from streams.core.template import LANGUAGES, Template
from tests.sink_records import step

pytestmark = pytest.mark.integration

FIRST = 20_600 * DAY_MS
NOW = FIRST + 30 * DAY_MS
RULE = "r"


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


@pytest.fixture
def client(database: Client) -> Client:
    return database


def decided(
    number: int, customer: str, at_ms: int, taken: bool, holdout: bool = False, rule: str = RULE
) -> OutreachDecision:
    return OutreachDecision(
        f"d{number}", customer, rule, at_ms, taken, "", 50, 0, "sms", holdout=holdout
    )


def store(client: Client, customer: str, back_after: int | None) -> None:
    """A customer who visited on the first day, and perhaps so many days later."""
    days = [0, *([] if back_after is None else [back_after])]
    steps = [step(customer, FIRST + day * DAY_MS, n) for n, day in enumerate(days)]
    part = Part()
    for one in steps:
        apply(part, one)
    writer, raw = ClickHouseWriter(client), msgspec.Raw(msgspec.json.encode(part))
    writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps))
    writer.insert(PARTS, PARTS.rows([PartRow(customer, customer, 0, part.n, raw)]))


def test_those_reached_are_compared_with_those_held_out(url: str, client: Client) -> None:
    found = []
    for n in range(80):
        customer, held_out = f"customer:{n}", n % 2 == 1
        # Of those reached three quarters came back in time, of those held out one quarter.
        came = n % 8 < 6 if not held_out else n % 8 == 1
        store(client, customer, 3 if came else 20)
        found.append(decided(n, customer, FIRST, not held_out, held_out))
        found.append(decided(1_000 + n, customer, FIRST + 20 * DAY_MS, taken=True))
    store(client, "customer:late", None)
    found.append(decided(5_000, "customer:late", NOW - DAY_MS, taken=True))
    found.append(decided(5_001, "customer:0", FIRST, taken=False, rule="other"))
    writer = ClickHouseWriter(client)
    writer.insert(OUTREACH, OUTREACH.rows([one for one in found if one.decision_id != "d1001"]))
    other = connect(url)
    measured = effect(client, other, RULE, 14, NOW, Policy())
    other.disconnect()
    # Those who were reached after all, later, are in neither group: the odd ones but number 1.
    assert (measured.reached.customers, measured.held_out.customers) == (40, 1)
    assert measured.health is None
    client.execute(
        f"ALTER TABLE {rows_of(client, 'outreach')} DELETE WHERE decided_at > 0 "
        "AND startsWith(decision_id, 'd1') AND length(decision_id) = 5",
        settings={"mutations_sync": 2},
    )
    measured = effect(client, connect(url), RULE, 14, NOW, Policy())
    assert (measured.reached.customers, measured.held_out.customers) == (40, 40)
    assert (measured.reached.left, measured.held_out.left) == (10, 30)
    assert measured.left is not None
    assert measured.left.estimate == pytest.approx(-0.5)
    assert measured.left.excludes_zero


def test_one_who_was_reached_under_another_id_is_one_customer(url: str, client: Client) -> None:
    store(client, "customer:a", 3)
    writer = ClickHouseWriter(client)
    rows = [decided(1, "customer:a", FIRST, True), decided(2, "cookie:a", FIRST - 1, True)]
    writer.insert(OUTREACH, OUTREACH.rows(rows))
    moved = Member("cookie:a", "customer:a", 1)
    writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows([moved]))
    client.execute("SYSTEM RELOAD DICTIONARY customer_of")
    assert effect(client, connect(url), "", 14, NOW, Policy()).reached.customers == 1


def test_the_log_comes_back_as_it_was_written(client: Client) -> None:
    one = OutreachDecision(
        *("d1", "customer:a", RULE, FIRST + 1, True, "−9: waited", 40, 500, "sms", "", ""),
        *(False, 0, FIRST + 9, FIRST, "B2B", "fa", "پوزش", "متن", ["refund"], ["cookie:a"]),
    )
    two = decided(2, "customer:b", FIRST + 2, False)
    ClickHouseWriter(client).insert(OUTREACH, OUTREACH.rows([two, one, two]))
    assert list(decisions(client, FIRST)) == [one, two]
    assert list(decisions(client, FIRST + 1)) == [two]
    assert [told.customer for told in logged(client, None, "", 9)] == ["customer:b", "customer:a"]
    (told,) = logged(client, ["customer:a", "cookie:a"], RULE, 9)
    assert (told.body, told.ways_out) == ("متن", ["refund"])
    assert logged(client, ["customer:a"], "other", 9) == []


def test_rows_written_before_the_guard_are_read_with_their_action(client: Client) -> None:
    client.execute(
        "INSERT INTO outreach (customer, decision_id, rule, action, decided_at, taken, why, "
        "health, distress) VALUES",
        [("customer:a", "d", RULE, "call_back", FIRST + 1, True, "why", 1, 2)],
    )
    (found,) = decisions(client, FIRST)
    assert found == OutreachDecision(
        "d", "customer:a", RULE, FIRST + 1, True, "why", 1, 2, channel="call_back"
    )


def test_a_backtest_counts_a_cap_across_customers_in_order_of_time(client: Client) -> None:
    # Later customers by name come first by time; a merged visitor is one customer.
    writer = ClickHouseWriter(client)
    for n in range(6):
        steps = [step(f"customer:{n}", FIRST + (6 - n) * 1_000, n, account="B2B")]
        writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps))
    writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows([step("cookie:k", FIRST + 9_000, 9)]))
    member = Member("cookie:k", "customer:5", 1)
    writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows([member]))
    texts = dict.fromkeys(LANGUAGES, Template("s", "b"))
    rule = Rule(RULE, {"health": Range(above=0)}, "sms", ("refund",), texts)
    ruleset = RuleSet((rule,), Limits(account_cap=Cap(2, DAY_MS)))
    read: list[int] = []
    found = list(backtest(client, ruleset, Policy(), FIRST, FIRST + 10_000, read.append))
    assert [one.customer for one in found] == [f"customer:{n}" for n in (5, 4, 3, 2, 1, 0)]
    assert [one.suppressed_by for one in found] == ["", "", *["account_cap"] * 4]
    assert [one.decided_ms for one in found] == [FIRST + n * 1_000 for n in range(1, 7)]
    assert found[0].identifiers == ["customer:5"]
    assert read[-1] == 7
