"""Timeline, paths, retention, customers and status on a ledger that was stored twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from clickhouse_driver import Client

from analytics.customers import StoredCustomer, customers, members
from analytics.paths import Transition, paths
from analytics.retention import Cohort, retention
from analytics.status import status
from analytics.steps import BadStep
from analytics.timeline import customer_of, identifiers_of, timeline
from schemas.outcome import DeadLetter, JourneyStep, Member, OutreachDecision
from schemas.state import Part
from sinks.rows import DEAD_LETTERS, IDENTITY_MEMBERS, OUTREACH, PARTS, TOUCHPOINTS, PartRow
from sinks.writer import ClickHouseWriter
from tests.sink_records import step

pytestmark = pytest.mark.integration

MINUTE, DAY, WEEK = 60_000, 86_400_000, 7 * 86_400_000
MONDAY = 1_793_577_600_000  # 2026-11-02
Store = Callable[..., None]


@pytest.fixture
def client(database: Client) -> Client:
    return database


@pytest.fixture
def store(client: Client) -> Store:
    """Writes steps and members, all of them twice, and shows the members to readers."""
    writer = ClickHouseWriter(client)

    def write(steps: Sequence[JourneyStep], *found: Member) -> None:
        for _ in range(2):
            writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(list(steps)))
            writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(list(found)))
        writer.refresh()

    return write


def test_a_timeline_is_the_same_by_any_identifier(client: Client, store: Store) -> None:
    store(
        [
            step("email:h", MONDAY + 40 * MINUTE, 3, channel="call_center", type="call"),
            step("cookie:1", MONDAY + 9 * MINUTE, 2, type="search", fields={"page": "/"}),
            step("cookie:1", MONDAY, 1),
            step("cookie:2", MONDAY, 9),
        ],
        Member("cookie:1", "email:h", 1),
        Member("device:d", "email:h", 1),
    )
    found = timeline(client, "email:h")
    assert found.customer == "email:h"
    assert found.identifiers == ("cookie:1", "device:d", "email:h")
    steps = [[(m.channel, m.type) for m in s.moments] for s in found.sessions]
    assert steps == [[("web", "page_view"), ("web", "search")], [("call_center", "call")]]
    assert found.sessions[0].started == datetime(2026, 11, 2, tzinfo=UTC)
    assert found.sessions[0].moments[1].fields == {"page": "/"}
    for identifier in ("cookie:1", "device:d"):
        assert timeline(client, identifier) == found
    assert timeline(client, "cookie:2").identifiers == ("cookie:2",)
    assert timeline(client, "cookie:never").sessions == ()


def test_a_timeline_keeps_the_newest_in_order(client: Client, store: Store) -> None:
    store([step("email:h", MONDAY + n, n) for n in range(10)])
    (session,) = timeline(client, "email:h", newest=3).sessions
    assert [m.event_id.int for m in session.moments] == [7, 8, 9]
    assert len(timeline(client, "email:h", gap=timedelta(0)).sessions) == 10


def test_identifiers_follow_a_merge_and_its_undoing(client: Client, store: Store) -> None:
    steps = [step("cookie:1", 1, 1), step("email:a", 2, 2), step("phone:b", 3, 3)]
    store(steps, Member("cookie:1", "phone:b", 1))
    store([], Member("cookie:1", "email:a", 2), Member("phone:b", "email:a", 2))
    assert identifiers_of(client, "email:a") == ["cookie:1", "email:a", "phone:b"]
    assert identifiers_of(client, "phone:b") == ["phone:b"]
    assert customer_of(client, "phone:b") == "email:a"
    store([], Member("cookie:1", "phone:b", 3), Member("phone:b", "phone:b", 3))
    assert identifiers_of(client, "email:a") == ["email:a"]
    assert [len(timeline(client, i).sessions[0].moments) for i in ("phone:b", "email:a")] == [2, 1]


def test_paths_count_what_came_next_for_the_customer(client: Client, store: Store) -> None:
    store(
        [
            step("cookie:1", MONDAY, 1),
            step("email:h", MONDAY, 2, type="search"),  # same millisecond, greater id
            step("email:h", MONDAY + DAY, 3),
            step("cookie:1", MONDAY + DAY + MINUTE, 4, channel="call_center", type="call"),
            step("cookie:2", MONDAY, 5),
            step("cookie:2", MONDAY + 1, 6),
            step("cookie:2", MONDAY + 2, 7, type="search"),
            step("cookie:3", MONDAY, 8),
            step("cookie:3", MONDAY + 31 * MINUTE, 9, type="search"),
        ],
        Member("cookie:1", "email:h", 1),
    )
    assert paths(client, "web:page_view") == [
        Transition("web:search", 2, 2),
        Transition("", 1, 1),
        Transition("call_center:call", 1, 1),
        Transition("web:page_view", 1, 1),
    ]
    assert paths(client, "web:page_view", top=1, within_seconds=31 * 60) == [
        Transition("web:search", 3, 3)
    ]
    assert paths(client, "call_center:call") == [Transition("", 1, 1)]
    assert paths(client, "web:page_view", since=datetime(2026, 11, 3, tzinfo=UTC)) == [
        Transition("call_center:call", 1, 1)
    ]
    with pytest.raises(BadStep):
        paths(client, "page_view")


def test_retention_counts_the_weeks_after_the_first(client: Client, store: Store) -> None:
    store(
        [
            step("cookie:1", MONDAY + 7 * DAY - 1, 1),
            step("email:h", MONDAY + 3 * WEEK, 2),
            step("cookie:2", MONDAY, 3),
            step("cookie:2", MONDAY + DAY, 4),
            step("cookie:2", MONDAY + WEEK, 5),
            step("cookie:3", MONDAY + 2 * WEEK, 6),
        ],
        Member("cookie:1", "email:h", 1),
    )
    cohorts = [Cohort(date(2026, 11, 2), (2, 1, 0, 1)), Cohort(date(2026, 11, 16), (1,))]
    assert retention(client) == cohorts
    assert retention(client, weeks=1) == cohorts[1:]
    assert retention(client, weeks=2)[0].active == (2, 1)


def test_every_customer_comes_with_its_identifiers_and_newest_parts(
    client: Client, store: Store
) -> None:
    store(
        [step("cookie:1", 1, 1), step("serial:S", 1, 2), step("cookie:9", 1, 3)],
        Member("cookie:1", "email:h", 2),
        Member("device:d", "email:h", 2),
        Member("serial:S", "serial:S", 5),  # back to itself
    )
    writer = ClickHouseWriter(client)

    def part(anchor: str, customer: str, epoch: int, n: int) -> PartRow:
        return PartRow(anchor, customer, epoch, n, msgspec.Raw(msgspec.json.encode(Part(n=n))))

    for rows in (
        [part("cookie:1", "email:h", 2, 10), part("email:h", "email:h", 0, 3)],
        [part("cookie:1", "cookie:1", 0, 9)],  # late
        [part("serial:S", "email:h", 4, 1)],
    ):
        writer.insert(PARTS, PARTS.rows(rows))
    found = list(customers(client))
    assert found == [
        StoredCustomer("cookie:9", ("cookie:9",), {}),
        StoredCustomer(
            "email:h",
            ("cookie:1", "device:d", "email:h"),
            {"cookie:1": '{"n":10}', "email:h": '{"n":3}'},
        ),
        StoredCustomer("serial:S", ("serial:S",), {"serial:S": '{"n":1}'}),
    ]
    assert members(client)["email:h"] == ["cookie:1", "device:d", "email:h"]


def test_customers_stream_in_order_of_id(client: Client, store: Store) -> None:
    store([step(f"cookie:{n}", n, n) for n in range(20_000)])
    ids = [found.customer for found in customers(client)]
    assert ids == sorted(f"cookie:{n}" for n in range(20_000))
    assert status(client).customers == 20_000


def test_status_counts_every_row_once(client: Client, store: Store) -> None:
    assert status(client).touchpoints == 0
    store(
        [step("cookie:1", 1, 1), step("email:h", 1, 2), step("cookie:2", 1, 3)],
        Member("cookie:1", "email:h", 1),
    )
    writer = ClickHouseWriter(client)
    letters = [DeadLetter("t", 0, n, "oversized", "", "", b"", MONDAY * 2) for n in range(2)]
    decisions = [
        OutreachDecision(str(n), "email:h", "r", 1, taken, "", 0, 0, "sms")
        for n, taken in enumerate((True, True, False))
    ]
    for _ in range(2):
        writer.insert(DEAD_LETTERS, DEAD_LETTERS.rows(letters))
        writer.insert(OUTREACH, OUTREACH.rows(decisions))
    found = status(client)
    assert 3 <= found.rows <= 6
    assert (found.touchpoints, found.customers) == (3, 2)
    assert found.dead_letters == {"oversized": 2}
    assert (found.outreach, found.held_back) == ({"r": 2}, {"r": 1})
