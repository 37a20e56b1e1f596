from pathlib import Path
from uuid import UUID

import pytest
from clickhouse_driver import Client

from analytics.replay import links
from schemas.outcome import Action, Link, Member
from sinks.clickhouse import connect, prepare
from sinks.migrate import FOLDER, ChangedMigration, MigrationError, migrate
from sinks.rows import IDENTITY_LINKS, IDENTITY_MEMBERS, TABLES, TOPIC_TABLES, TOUCHPOINTS
from sinks.writer import ClickHouseWriter
from tests.sink_records import step

pytestmark = pytest.mark.integration

FILES = sorted(path.name for path in FOLDER.glob("*.sql"))


@pytest.fixture
def client(clickhouse_url: str) -> Client:
    prepare(clickhouse_url)
    return connect(clickhouse_url)


def test_every_file_is_applied_once_in_order(clickhouse_url: str) -> None:
    assert prepare(clickhouse_url) == FILES
    assert prepare(clickhouse_url) == []
    rows = connect(clickhouse_url).execute("SELECT name FROM schema_migrations ORDER BY name")
    assert [name for (name,) in rows] == FILES


def test_a_file_changed_after_it_was_applied_stops_everything(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "0001_x.sql").write_text("CREATE TABLE x (n UInt8) ENGINE = Memory;\n")
    assert migrate(client, tmp_path) == ["0001_x.sql"]
    (tmp_path / "0000_new.sql").write_text("CREATE TABLE y (n UInt8) ENGINE = Memory;\n")
    (tmp_path / "0001_x.sql").write_text("CREATE TABLE x (n UInt16) ENGINE = Memory;\n")
    with pytest.raises(ChangedMigration, match=r"0001_x\.sql was applied with other contents"):
        migrate(client, tmp_path)
    assert client.execute("EXISTS TABLE y") == [(0,)]


def test_a_file_that_stopped_half_way_is_applied_again(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "0009_half.sql"
    path.write_text("CREATE TABLE IF NOT EXISTS h (n UInt8) ENGINE = Memory;\nSELECT nothing;\n")
    with pytest.raises(Exception, match="nothing"):
        migrate(client, tmp_path)
    path.write_text("CREATE TABLE IF NOT EXISTS h (n UInt8) ENGINE = Memory;\nSELECT 1;\n")
    assert migrate(client, tmp_path) == ["0009_half.sql"]


def test_a_database_whose_name_needs_quotes_is_refused(clickhouse_port: int) -> None:
    url = f"clickhouse://default@127.0.0.1:{clickhouse_port}/my-journey"
    with pytest.raises(MigrationError, match="my-journey"):
        prepare(url)


def test_tables_have_the_columns_that_rows_are_built_for(client: Client) -> None:
    left = {("touchpoints", "rescored_at"), ("outreach", "action")}  # others write them, or did
    found: dict[str, set[tuple[str, str]]] = {}
    for table, name, type_ in client.execute(
        "SELECT table, name, type FROM system.columns "
        "WHERE database = currentDatabase() AND default_kind IN ('', 'DEFAULT')"
    ):
        if (table, name) not in left:
            found.setdefault(table, set()).add((name, type_))
    for table in TABLES:
        assert found[table.name] == {(c.name, c.type) for c in table.columns}, table.name


def test_an_identifier_has_the_customer_of_its_newest_epoch(client: Client) -> None:
    writer = ClickHouseWriter(client)
    for members in (
        [Member("cookie:1", "email:b", 2), Member("cookie:2", "email:b", 1)],
        [Member("cookie:1", "email:a", 1), Member("cookie:2", "cookie:2", 3)],
    ):
        writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(members))
    writer.insert(
        TOUCHPOINTS,
        TOUCHPOINTS.rows([step(f"cookie:{n}", n, n) for n in (1, 2, 3, 3)]),
    )
    writer.refresh()
    assert client.execute("SELECT anchor, customer FROM ledger ORDER BY anchor") == [
        ("cookie:1", "email:b"),
        ("cookie:2", "cookie:2"),
        ("cookie:3", "cookie:3"),
    ]
    held = "SELECT element_count FROM system.dictionaries WHERE database = currentDatabase()"
    assert client.execute(held) == [(1,)]


def test_of_a_link_the_earliest_evidence_and_the_latest_entry_stay(client: Client) -> None:
    writer = ClickHouseWriter(client)

    def link(occurred: int, event: int, action: Action) -> Link:
        return Link("cookie:1", "email:h", str(UUID(int=event)), occurred, "web", action, "why")

    join, withdraw = link(6, 2, Action.JOIN), link(6, 3, Action.WITHDRAW)
    earliest = link(3, 1 << 127, Action.SEEN)
    late = [link(5, 0, Action.SEEN), link(3, (1 << 127) + 1, Action.SEEN), link(4, 0, Action.SEEN)]
    for found in (late[0], join, earliest, late[1], withdraw, late[2], join):
        writer.insert(IDENTITY_LINKS, IDENTITY_LINKS.rows([found]))
    assert sorted(links(client), key=lambda one: one.occurred_ms) == [earliest, withdraw]


def test_of_two_parts_the_newest_epoch_stays_and_then_the_largest(client: Client) -> None:
    table = TOPIC_TABLES["parts"]
    writer = ClickHouseWriter(client)
    for epoch, n in ((2, 5), (1, 9), (2, 6), (2, 5)):
        writer.insert(table, [["cookie:1"], ["c"], [epoch], [n], [f"{epoch}.{n}"]])
    assert client.execute("SELECT part FROM parts FINAL") == [("2.6",)]


def test_only_the_newest_health_of_customers_that_stand_is_shown(client: Client) -> None:
    day = 86_400_000
    rows = [("a", day), ("a", 3 * day), ("a", 2 * day), ("merged", 9 * day)]
    client.execute(
        "INSERT INTO health (customer, evaluated_at) VALUES",
        [(customer, at) for customer, at in rows],
    )
    ClickHouseWriter(client).insert(
        IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows([Member("merged", "a", 1)])
    )
    found = client.execute("SELECT customer, toUnixTimestamp64Milli(evaluated_at) FROM customers")
    assert found == [("a", 3 * day)]
