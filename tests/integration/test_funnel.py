"""Funnels on the embedded ClickHouse against a search of every way through a small ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.funnel import FunnelStep, funnel
from analytics.steps import Step, parse_step
from schemas.outcome import JourneyStep, Member
from sinks.clickhouse import connect, prepare
from sinks.rows import IDENTITY_MEMBERS, TOUCHPOINTS
from sinks.writer import ClickHouseWriter
from tests.sink_records import step

pytestmark = pytest.mark.integration

PAGE, SEARCH, CART = "web:page_view", "web:search", "web:add_to_cart"
PAGE_A, PAGE_B = "web:page_view[product=a]", "web:page_view[product=b]"
DAY = 86_400_000


class Seen(NamedTuple):
    customer: int
    by_cookie: bool  # customer n is `email:n`, to which `cookie:n` is linked
    at: int
    type: str
    product: str


@pytest.fixture(scope="module")
def client(clickhouse_port: int) -> Iterator[Client]:
    url = f"clickhouse://default@127.0.0.1:{clickhouse_port}/funnel"
    prepare(url)
    client = connect(url)
    writer = ClickHouseWriter(client)
    members = [Member(f"cookie:{n}", f"email:{n}", n + 1) for n in range(3)]
    writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(members))
    writer.refresh()
    yield client
    client.disconnect()


def store(client: Client, *blocks: Sequence[JourneyStep]) -> None:
    """A ledger of these blocks only, nothing merged."""
    client.execute("TRUNCATE TABLE touchpoints")
    client.execute("SYSTEM STOP MERGES touchpoints")
    writer = ClickHouseWriter(client)
    for block in blocks:
        writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(list(block)))


def matches(wanted: Step, found: JourneyStep) -> bool:
    return (found.channel, found.type) == (wanted.channel, wanted.type) and all(
        found.fields.get(field) == value for field, value in wanted.filters
    )


def deepest(ledger: Sequence[JourneyStep], steps: Sequence[Step], window: int) -> int:
    """Most steps of a chain of touchpoints, each later in the order that `funnel` documents."""

    def place(found: JourneyStep) -> tuple[int, list[int], str]:
        at = [i for i, wanted in enumerate(steps) if matches(wanted, found)]
        return found.occurred_ms, [min(at), max(at)], found.event_id

    rows = sorted((s for s in ledger if any(matches(w, s) for w in steps)), key=place)

    def search(level: int, position: int, started: int) -> int:
        best = level
        if level == len(steps):
            return best
        for index in range(position, len(rows)):
            at = rows[index].occurred_ms
            if matches(steps[level], rows[index]) and (level == 0 or at - started <= window):
                best = max(best, search(level + 1, index + 1, started if level else at))
        return best

    return search(0, 0, 0)


def counted(texts: Sequence[str], depths: Sequence[int]) -> list[FunnelStep]:
    return [FunnelStep(text, sum(d > at for d in depths)) for at, text in enumerate(texts)]


seen = st.builds(
    Seen,
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 8),
    st.sampled_from(["page_view", "page_view", "search", "add_to_cart"]),
    st.sampled_from("ab"),
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    ledger=st.lists(seen, min_size=1, max_size=14),
    twice=st.sets(st.integers(0, 13)),
    texts=st.lists(st.sampled_from([PAGE, SEARCH, CART, PAGE_A, PAGE_B]), min_size=1, max_size=4),
    window=st.integers(1, 6),
)
def test_a_funnel_counts_what_a_search_of_every_chain_finds(
    client: Client, ledger: list[Seen], twice: set[int], texts: list[str], window: int
) -> None:
    rows = [
        step(
            f"cookie:{s.customer}" if s.by_cookie else f"email:{s.customer}",
            s.at,
            number,
            type=s.type,
            fields={"product": s.product},
        )
        for number, s in enumerate(ledger)
    ]
    # Stored as they come, which is in no order of time, and some of them again.
    store(client, rows, [rows[n] for n in twice if n < len(rows)])
    steps = [parse_step(text) for text in texts]
    depths = [
        deepest([r for r, s in zip(rows, ledger, strict=True) if s.customer == n], steps, window)
        for n in range(3)
    ]
    assert funnel(client, texts, window / 1000) == counted(texts, depths)


def test_one_touchpoint_stored_twice_is_not_two_steps(client: Client) -> None:
    once = [step("email:0", 5, 1)]
    store(client, once, once)
    assert funnel(client, [PAGE, PAGE], 1) == [FunnelStep(PAGE, 1), FunnelStep(PAGE, 0)]


def test_the_window_is_inclusive_and_finer_than_a_second(client: Client) -> None:
    store(client, [step("email:0", 1_000, 1), step("email:0", 1_250, 2, type="search")])
    assert funnel(client, [PAGE, SEARCH], 0.25)[1].customers == 1
    assert funnel(client, [PAGE, SEARCH], 0.249)[1].customers == 0


def test_steps_on_two_identifiers_of_one_customer_are_one_journey(client: Client) -> None:
    rows = [step("cookie:1", 1, 1), step("email:1", 2, 2, type="search"), step("cookie:9", 1, 3)]
    store(client, rows)
    assert funnel(client, [PAGE, SEARCH], 1) == [FunnelStep(PAGE, 2), FunnelStep(SEARCH, 1)]


def test_a_period_leaves_out_what_is_outside_of_it(client: Client) -> None:
    store(client, [step("email:0", 0, 1), step("email:1", DAY, 2), step("email:2", 2 * DAY, 3)])
    second = datetime(1970, 1, 2, tzinfo=UTC)
    third = datetime(1970, 1, 3, tzinfo=UTC)
    assert funnel(client, [PAGE], 1, since=second) == [FunnelStep(PAGE, 2)]
    assert funnel(client, [PAGE], 1, since=second, until=third) == [FunnelStep(PAGE, 1)]
    with pytest.raises(ValueError, match=r"since .* has no time zone"):
        funnel(client, [PAGE], 1, since=datetime(1970, 1, 2))


@pytest.mark.parametrize(
    ("properties", "value", "found"),
    [
        ('{"plan": "gold"}', "gold", 1),
        ('{"plan": 5}', "5", 1),
        ('{"plan": true}', "true", 1),
        ('{"plan": "gold\'; DROP"}', "gold'; DROP", 1),
        ('{"plan": "%(x)s"}', "%(x)s", 1),
        ('{"plan": "silver"}', "gold", 0),
        ("{}", "gold", 0),
    ],
)
def test_a_property_is_compared_as_text(
    client: Client, properties: str, value: str, found: int
) -> None:
    store(client, [step("email:0", 1, 1, properties=properties)])
    assert funnel(client, [f"web:page_view[plan={value}]"], 1)[0].customers == found


def test_columns_and_typed_fields_filter_too(client: Client) -> None:
    order = step(
        "email:0", 1, 1, channel="order", type="placed", fields={"order": "O1"},
        amount_minor=500, currency="EUR", account="acme",
    )  # fmt: skip
    store(client, [order])
    for passes in ("order=O1", "amount_minor=500", "currency=EUR", "account=acme"):
        assert funnel(client, [f"order:placed[{passes}]"], 1)[0].customers == 1, passes
    assert funnel(client, ["order:placed[order=O1][currency=USD]"], 1)[0].customers == 0


@pytest.mark.parametrize("second", [SEARCH, PAGE], ids=["other step", "same step"])
def test_an_account_is_one_unit_with_what_its_customers_did_unnamed(
    client: Client, second: str
) -> None:
    type_ = parse_step(second).type
    store(
        client,
        [
            step("cookie:0", 1, 1),  # of email:0, whose latest account is acme
            step("email:0", 2, 2, type="help_view", account="old"),
            step("email:0", 3, 3, type="help_view", account="acme"),
            step("email:1", 4, 4, type=type_, account="acme"),
            step("email:2", 1, 5),  # of no account
        ],
    )
    found = funnel(client, [PAGE, second], 1, unit="account")
    assert [s.customers for s in found] == [1, 1]
    assert [s.customers for s in funnel(client, [PAGE, second], 1)][1] == 0
