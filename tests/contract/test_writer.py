"""One contract for every writer; ClickHouse is the embedded one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from schemas.outcome import Account, CustomerHealth, DeadLetter, Member, OutreachDecision
from sinks.clickhouse import connect, prepare
from sinks.rows import (
    ACCOUNTS,
    DEAD_LETTERS,
    HEALTH,
    IDENTITY_MEMBERS,
    OUTREACH,
    TOUCHPOINTS,
    Table,
)
from sinks.writer import (
    ClickHouseWriter,
    InsertRefused,
    MemoryWriter,
    SchemaDrift,
    Writer,
    WriterUnavailable,
)
from tests.servers import refusing_port
from tests.sink_records import step


@dataclass
class Subject:
    """A writer, a way to see what it stored, and a way to make its database unreachable."""

    writer: Writer
    stored: Callable[[Table], list[tuple[Any, ...]]]
    outage: Callable[[bool], None]


@pytest.fixture
def memory() -> Subject:
    writer = MemoryWriter()

    def outage(on: bool) -> None:
        writer.outage = WriterUnavailable("away", retry_after=1.5) if on else None

    return Subject(writer, lambda table: writer.stored.get(table.name, []), outage)


@pytest.fixture
def clickhouse(clickhouse_url: str) -> Iterator[Subject]:
    prepare(clickhouse_url)
    client, reader = connect(clickhouse_url), connect(clickhouse_url)
    port = client.connection.hosts[0][1]

    def stored(table: Table) -> list[tuple[Any, ...]]:
        names = ", ".join(f"`{column.name}`" for column in table.columns)
        rows = reader.execute(f"SELECT {names} FROM {table.name}")
        return [tuple(map(_as_written, row)) for row in rows]

    def outage(on: bool) -> None:
        client.disconnect()
        client.connection.hosts.clear()
        client.connection.hosts.append(("127.0.0.1", closed if on else port))

    writer = ClickHouseWriter(client)
    with refusing_port() as closed:
        yield Subject(writer, stored, outage)
    writer.close()
    reader.disconnect()


@pytest.fixture(
    params=["memory", pytest.param("clickhouse", marks=pytest.mark.integration)],
)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found


def _as_written(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    if isinstance(value, dict):
        return {key: _as_written(item) for key, item in value.items()}
    return value


def test_rows_come_back_as_they_were_written(subject: Subject) -> None:
    given = step(
        "email:h-0",
        1_767_225_600_123,
        number=5,
        identifiers=["email:h-0", "cookie:1"],
        text="سفارشم نرسیده\x00'\\",
        sentiment=-1000,
        distress=1000,
        fields={"page": "/%d", "purpose": ""},
        amount_minor=-(10**15),
        properties='{"a": "%(x)s"}',
    )
    assert subject.writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows([given])) == 1
    (row,) = subject.stored(TOUCHPOINTS)
    expected = {
        **{c.name: getattr(given, c.field) for c in TOUCHPOINTS.columns},
        "event_id": UUID(int=5),
    }
    assert dict(zip((c.name for c in TOUCHPOINTS.columns), row, strict=True)) == expected


def test_nested_values_and_flags_come_back(subject: Subject) -> None:
    health = CustomerHealth(
        "email:h", 1_767_225_600_001, 2, 3, 100, -5, 999, "at_risk", "", {"x": -70_000}, ["a", "b"],
        {"rule": 1_767_225_600_002}, told={"B2B-1": (7, 99)},
    )  # fmt: skip
    account = Account(
        "B2B-1", 1_000, 50, "red", 2, {"red": 1}, "email:h", ["a"], past={20_600: 80, 20_601: 50}
    )
    decision = OutreachDecision("id", "email:h", "r", 1_000, True, "why", 0, 1, "sms", due_ms=5)
    subject.writer.insert(HEALTH, HEALTH.rows([health]))
    subject.writer.insert(OUTREACH, OUTREACH.rows([decision]))
    subject.writer.insert(ACCOUNTS, ACCOUNTS.rows([account]))
    assert subject.stored(HEALTH) == [
        (*(getattr(health, c.field) for c in HEALTH.columns[:-1]), {"B2B-1": 7})
    ]
    assert subject.stored(ACCOUNTS) == [tuple(getattr(account, c.field) for c in ACCOUNTS.columns)]
    assert subject.stored(OUTREACH) == [tuple(getattr(decision, c.field) for c in OUTREACH.columns)]


def test_bytes_that_are_no_text_are_kept(subject: Subject) -> None:
    received = 1_900_000_000_000
    letter = DeadLetter("touchpoints", 0, 1, "malformed_json", "", "", b"\xff\xfe{", received)
    subject.writer.insert(DEAD_LETTERS, DEAD_LETTERS.rows([letter]))
    assert subject.stored(DEAD_LETTERS)[0][-1] == b"\xff\xfe{"


def test_an_empty_block_is_nothing(subject: Subject) -> None:
    assert subject.writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows([])) == 0
    assert subject.stored(TOUCHPOINTS) == []


def test_a_large_block_is_written_whole(subject: Subject) -> None:
    steps = [step(f"cookie:{n % 97}", n, number=n) for n in range(20_000)]
    assert subject.writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps)) == 20_000
    assert {row[2].int for row in subject.stored(TOUCHPOINTS)} == set(range(20_000))


def test_touchpoints_late_by_any_number_of_months_are_one_insert(subject: Subject) -> None:
    month = 31 * 86_400_000
    steps = [step("cookie:1", n * month, number=n) for n in range(660)]
    assert subject.writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps)) == 660


def test_an_outage_is_retryable_and_the_writer_comes_back(subject: Subject) -> None:
    members = [Member("cookie:1", "email:h", 1)]
    subject.outage(True)
    with pytest.raises(WriterUnavailable) as raised:
        subject.writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(members))
    assert raised.value.retry_after >= 0
    with pytest.raises(WriterUnavailable):
        subject.writer.refresh()
    subject.outage(False)
    assert subject.writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(members)) == 1
    subject.writer.refresh()
    assert subject.stored(IDENTITY_MEMBERS) == [("cookie:1", "email:h", 1)]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("ALTER TABLE touchpoints DROP COLUMN distress", "distress"),
        ("ALTER TABLE touchpoints MODIFY COLUMN sentiment String", "sentiment"),
        ("ALTER TABLE touchpoints MODIFY COLUMN account UInt8", "account"),
        ("DROP TABLE touchpoints SYNC", "anchor"),
    ],
)
@pytest.mark.parametrize("running", [False, True], ids=["before", "while running"])
def test_a_changed_table_is_drift_that_names_the_column(
    clickhouse: Subject, clickhouse_url: str, change: str, column: str, running: bool
) -> None:
    if running:
        clickhouse.writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows([step("a", 1, account="7")]))
    connect(clickhouse_url).execute(change)
    with pytest.raises(SchemaDrift, match=rf"touchpoints\.{column} ") as raised:
        clickhouse.writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows([step("a", 1, account="x")]))
    assert (raised.value.table, raised.value.column) == ("touchpoints", column)


@pytest.mark.integration
def test_a_value_that_fits_no_column_is_refused_for_good(clickhouse: Subject) -> None:
    with pytest.raises(InsertRefused, match="identity_members: "):
        clickhouse.writer.insert(IDENTITY_MEMBERS, [["a"], ["b"], [-1]])
    assert clickhouse.writer.insert(IDENTITY_MEMBERS, [["a"], ["b"], [4]]) == 1
    assert clickhouse.stored(IDENTITY_MEMBERS) == [("a", "b", 4)]
