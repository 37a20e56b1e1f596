"""Every type of column there and back through the embedded ClickHouse."""

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any

import pytest
from clickhouse_driver import Client

from tests.integration.clickhouse_process import Front, running_front

pytestmark = pytest.mark.integration

UTC = dt.UTC


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture
def client(front: Front) -> Iterator[Client]:
    with front.client() as connected:
        connected.execute("DROP DATABASE IF EXISTS tried")
        connected.execute("CREATE DATABASE tried")
        connected.execute("USE tried")
        yield connected


VALUES: list[tuple[str, list[Any]]] = [
    ("UInt8", [0, 255]),
    ("UInt16", [0, 65535]),
    ("UInt32", [0, 2**32 - 1]),
    ("UInt64", [0, 2**64 - 1]),
    ("Int8", [-128, 127]),
    ("Int16", [-(2**15), 2**15 - 1]),
    ("Int32", [-(2**31), 2**31 - 1]),
    ("Int64", [-(2**63), 2**63 - 1]),
    ("Int128", [-(2**127), 2**127 - 1]),
    ("UInt256", [0, 2**256 - 1]),
    ("Float32", [-1.5, 0.25]),
    ("Float64", [-1.1, 1e300]),
    ("String", ["", "سلام", "x" * 127, "y" * 128, "z" * 70_000]),
    ("FixedString(3)", ["abc", "xyz"]),
    ("DateTime('UTC')", [dt.datetime(2024, 2, 29, 12, 0, 1, tzinfo=UTC)]),
    ("DateTime64(3, 'UTC')", [dt.datetime(2024, 2, 29, 12, 0, 1, 345000, tzinfo=UTC)]),
    ("Date", [dt.date(1970, 1, 2), dt.date(2024, 2, 29)]),
    ("Date32", [dt.date(1925, 1, 1), dt.date(2283, 11, 11)]),
    ("UUID", [uuid.UUID(int=1), uuid.UUID(int=2**127 + 5)]),
    ("Bool", [True, False]),
    ("Enum8('new' = 1, 'it''s, (old)' = -2)", ["new", "it's, (old)"]),
    ("Enum16('a' = 1000)", ["a"]),
    ("Decimal(9, 2)", [Decimal("-1.25")]),
    ("Decimal(38, 10)", [Decimal("12345678901234567890.0123456789")]),
    ("IPv4", [IPv4Address("10.0.0.1")]),
    ("LowCardinality(String)", ["a", "b", "a", ""]),
    ("LowCardinality(Nullable(String))", ["a", None, "a", ""]),
    ("Nullable(Int64)", [None, 5]),
    ("Nullable(String)", [None, "", "x"]),
    ("Array(String)", [[], ["a", "b"], ["c"]]),
    ("Array(Array(Nullable(Int32)))", [[], [[1, None], []], [[2]]]),
    ("Array(LowCardinality(String))", [["a", "b"], [], ["a"]]),
    ("Map(String, String)", [{}, {"k": "v", "l": ""}]),
    ("Map(LowCardinality(String), Int64)", [{"k": -1}, {}, {"k": 2, "m": 3}]),
    ("Tuple(Int32, String)", [(1, "a"), (2, "b")]),
    ("Tuple(x Int32, `y z` Array(String))", [(1, ["a"]), (2, [])]),
    ("SimpleAggregateFunction(sum, Int64)", [5, -5]),
    ("Point", [(1.0, 2.0)]),
]


@pytest.mark.parametrize("compression", [False, "lz4"])
@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _ in VALUES])
def test_every_type_comes_back_as_it_went_in(
    front: Front, client: Client, kind: str, values: list[Any], compression: str | bool
) -> None:
    client.execute(
        f"CREATE TABLE tried.typed (n UInt32, v {kind}) ENGINE = MergeTree ORDER BY n",
        settings={"allow_suspicious_low_cardinality_types": 1},
    )
    with front.client(compression=compression, database="tried") as writer:
        rows = list(enumerate(values))
        assert writer.execute("INSERT INTO typed (n, v) VALUES", rows) == len(rows)
        got, types = writer.execute("SELECT n, v FROM typed ORDER BY n", with_column_types=True)
    assert got == rows
    assert types[0] == ("n", "UInt32")
    assert types[1][0] == "v"


def test_time_zones_stay_with_their_columns(client: Client) -> None:
    query = "SELECT toDateTime(0, 'Asia/Tehran') AS t, [t] AS l, toDateTime(0) AS plain"
    (row,), types = client.execute(query, with_column_types=True)
    tehran = "DateTime('Asia/Tehran')"
    assert types == [("t", tehran), ("l", f"Array({tehran})"), ("plain", "DateTime")]
    assert row[0] == dt.datetime(1970, 1, 1, tzinfo=UTC)


def test_types_of_a_running_query_follow_its_session(client: Client) -> None:
    client.execute("CREATE TEMPORARY TABLE own (t DateTime('UTC')) ENGINE = Memory")
    client.execute("INSERT INTO own VALUES (0)")
    query = "SELECT t FROM numbers(1) AS n LEFT JOIN own ON n.number = toUnixTimestamp(own.t) + 5"
    settings = {"join_use_nulls": 1}
    assert client.execute(query, settings=settings, with_column_types=True) == (
        [(None,)],
        [("t", "Nullable(DateTime('UTC'))")],
    )


def test_nested_columns(client: Client) -> None:
    client.execute(
        "CREATE TABLE orders (id UInt32, lines Nested(sku String, qty Int32)) "
        "ENGINE = MergeTree ORDER BY id"
    )
    rows = [(1, ["a", "b"], [1, 2]), (2, [], [])]
    client.execute("INSERT INTO orders (id, lines.sku, lines.qty) VALUES", rows)
    assert client.execute("SELECT * FROM orders ORDER BY id") == rows
