"""The users of deploy/clickhouse: each can do its work with its grants alone, and no other's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from clickhouse_driver.errors import ServerException

from cli import main
from sinks.backlog import Batch
from sinks.clickhouse import connect
from sinks.consumer import write
from sinks.migrate import migrate
from sinks.rows import TABLES
from sinks.writer import ClickHouseWriter
from tests import grafana
from tests.integration.clickhouse_roles import running_as, sql_statements
from tests.sink_records import ONE_OF_EACH, record

pytestmark = pytest.mark.integration
ACCESS_DENIED = 497


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that the admin made, then filled by the sink: one server after the other."""
    folder = tmp_path_factory.mktemp("roles")
    with running_as("journey_admin", folder) as url:
        client = connect(url, database="default")
        client.execute("CREATE DATABASE journey")
        client.disconnect()
        client = connect(url)
        client.execute("SELECT 1")
        # The dictionary reads as the user that migrates, which on a server has a name of its own.
        client.connection.user = "journey_admin"
        assert migrate(client)
        client.execute("INSERT INTO identity_members VALUES", [("cookie:0", "customer:0", 1)])
        client.execute("ALTER TABLE identity_members DELETE WHERE identifier = 'cookie:0'")
        client.execute("SYSTEM RELOAD DICTIONARY customer_of")
        client.execute("TRUNCATE TABLE identity_members")
        client.disconnect()
    with running_as("journey_sink", folder) as url:
        writer = ClickHouseWriter(connect(url))
        write(Batch({topic: [record(topic, one)] for topic, one in ONE_OF_EACH.items()}), writer)
        writer.refresh()
        writer.close()
        assert_denied(
            url,
            *(f"SELECT count() FROM {table.name}" for table in TABLES),
            "SELECT dictGet('customer_of', 'customer', 'cookie:1')",
            "ALTER TABLE touchpoints DELETE WHERE 1",
            "TRUNCATE TABLE touchpoints",
            "INSERT INTO schema_migrations (name, sha256) SELECT 'x', 'y'",
            "DROP TABLE parts",
            "CREATE TABLE other (a UInt8) ENGINE = Memory",
        )
    return folder


@pytest.fixture
def reader(folder: Path) -> Iterator[str]:
    with running_as("journey_reader", folder) as url:
        yield url


def assert_denied(url: str, *queries: str) -> None:
    client = connect(url)
    try:
        for query in queries:
            with pytest.raises(ServerException) as refused:
                client.execute(query)
            assert refused.value.code == ACCESS_DENIED, query
    finally:
        client.disconnect()


def test_the_reader_sees_what_the_sink_wrote(reader: str, tmp_path: Path) -> None:
    client = connect(reader)
    try:
        rows = {t.name: client.execute(f"SELECT count() FROM {t.name}")[0][0] for t in TABLES}
        assert rows == dict.fromkeys((table.name for table in TABLES), 1)
        assert client.execute("SELECT customer FROM ledger") == [("email:h",)]
    finally:
        client.disconnect()
    environ = {"JOURNEY_CLICKHOUSE": reader, "JOURNEY_DATA": str(tmp_path)}
    environ |= {"JOURNEY_IDENTITY_KEY": "k"}
    asked = {
        ("customers",): "email:h",
        ("customer", "cookie:1"): "email:h",
        ("funnel", "web:page_view"): "web:page_view",
        ("identity", "show", "cookie:1"): "email:h",
        ("accounts",): "",
        ("survey",): "",
    }
    for verb, shown in asked.items():
        done = CliRunner().invoke(main, [*verb, "--json"], env=environ)
        assert done.exit_code == 0, (verb, done.output)
        assert shown in done.stdout, verb


def test_the_reader_changes_nothing(reader: str) -> None:
    assert_denied(
        reader,
        "INSERT INTO touchpoints (anchor) SELECT 'cookie:2'",
        "ALTER TABLE touchpoints DELETE WHERE 1",
        "TRUNCATE TABLE touchpoints",
        "DROP TABLE parts",
        "CREATE TABLE other (a UInt8) ENGINE = Memory",
        "SYSTEM RELOAD DICTIONARY customer_of",
        "SELECT * FROM system.users",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE USER other",
    )


def test_grafana_sees_what_its_dashboards_show_and_no_texts(folder: Path) -> None:
    with running_as("journey_grafana", folder) as url:
        client = connect(url)
        try:
            asked = [query for query in grafana.queries() if query.is_sql]
            assert asked
            for query in asked:
                some = grafana.chosen(
                    query.dashboard, lambda one: grafana.listed(one) or ["x"], narrow=True
                )
                client.execute(query.sql(some, now=1_700_000_000))
        finally:
            client.disconnect()
        assert_denied(
            url,
            "SELECT text FROM touchpoints",
            "SELECT identifiers FROM touchpoints",
            "SELECT body FROM outreach",
            "SELECT raw FROM dead_letters",
            "SELECT * FROM erasing",
            "SELECT part FROM parts",
            "SELECT * FROM customers",
            "INSERT INTO touchpoints (anchor) SELECT 'cookie:2'",
        )


def test_the_file_is_of_statements_that_clickhouse_knows(clickhouse_url: str) -> None:
    client = connect(clickhouse_url, database="default")
    try:
        for statement in sql_statements():
            assert client.execute(f"EXPLAIN AST {statement}"), statement
        with pytest.raises(ServerException):
            client.execute("EXPLAIN AST CREATE ROLE IF NOT EXIST journey_sink")
    finally:
        client.disconnect()
