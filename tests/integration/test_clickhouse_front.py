"""The embedded ClickHouse, as clickhouse-driver sees it."""

import threading
import time
from collections.abc import Iterator

import pandas as pd  # type: ignore[import-untyped]
import pytest
from clickhouse_driver import Client
from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.errors import ServerException
from clickhouse_driver.protocol import ServerPacketTypes

from tests.integration.clickhouse_process import Front, running_front

pytestmark = pytest.mark.integration

ENDLESS = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sin(number))"


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


@pytest.mark.parametrize("compression", [False, "lz4"])
@pytest.mark.parametrize("revision", [54400, 54429, 54455, None])
def test_every_revision_of_the_protocol(
    front: Front, client: Client, revision: int | None, compression: str | bool
) -> None:
    client.execute("CREATE TABLE t (a Int64, s String) ENGINE = MergeTree ORDER BY a")
    options = {"client_revision": revision, "compression": compression, "database": "tried"}
    with front.client(**options) as spoken:
        columns = [list(range(250_000)), [str(n) for n in range(250_000)]]
        settings = {"insert_block_size": 100_000, "max_block_size": 7000}
        assert spoken.execute("INSERT INTO t VALUES", columns, columnar=True, settings=settings)
        got = spoken.execute("SELECT * FROM t ORDER BY a", columnar=True, settings=settings)
        assert [list(column) for column in got] == columns


def test_result_without_rows_has_columns(client: Client) -> None:
    got = client.execute("SELECT 1 AS x, 'a' AS y WHERE 0 -- none", with_column_types=True)
    assert got == ([], [("x", "UInt8"), ("y", "String")])
    assert client.execute("SHOW TABLES", with_column_types=True) == ([], [("name", "String")])
    assert client.execute("CREATE TABLE t (a Int8) ENGINE = Memory") == []


def test_format_clause_is_the_clients_business(client: Client) -> None:
    assert client.execute("SELECT 1 FORMAT JSON;") == [(1,)]
    assert client.execute("SELECT 'FORMAT', 2 FORMAT TSV SETTINGS max_threads = 1") == [
        ("FORMAT", 2)
    ]


def test_large_results_stream(front: Front, client: Client) -> None:
    before = front.resident_mib()
    settings = {"max_block_size": 65_536}
    rows = client.execute_iter("SELECT number FROM numbers(20000000)", settings=settings)
    assert sum(1 for _ in rows) == 20_000_000
    assert front.resident_mib() - before < 120


def test_settings_last_for_one_query(client: Client) -> None:
    ask = "SELECT getSetting('max_block_size'), getSetting('max_threads')"
    client.execute("SET max_threads = 3")
    plain = client.execute(ask)
    assert client.execute(ask, settings={"max_block_size": 77, "max_threads": 1}) == [(77, 1)]
    assert client.execute(ask) == plain
    assert plain[0][1] == 3


def test_unknown_settings(front: Front, client: Client) -> None:
    assert client.execute("SELECT 1", settings={"no_such_setting": 1}) == [(1,)]
    strict = front.client(settings_is_important=True)
    with strict, pytest.raises(ServerException, match="no_such_setting") as refused:
        strict.execute("SELECT 1", settings={"no_such_setting": 1})
    assert refused.value.code == 115


NASTY = 'it\'s\ta \\ "backslash"\nسلام {x} %'


def test_parameters_on_either_side(front: Front, client: Client) -> None:
    assert client.execute("SELECT %(s)s, %(n)s", {"s": NASTY, "n": 5}) == [(NASTY, 5)]
    with front.client(settings={"server_side_params": True}) as modern:
        params = {"s": NASTY, "n": 5, "l": [1, 2]}
        query = "SELECT {s:String}, {n:Int32}, {l:Array(Int32)}"
        assert modern.execute(query, params) == [(NASTY, 5, [1, 2])]
        empty = modern.execute("SELECT {n:Int32} AS n WHERE 0", {"n": 1}, with_column_types=True)
        assert empty == ([], [("n", "Int32")])


def test_inserts_by_row_by_dict_and_inline(client: Client) -> None:
    client.execute(
        "CREATE TABLE t (a Int32, b String DEFAULT 'none') ENGINE = MergeTree ORDER BY a"
    )
    client.execute("INSERT INTO t (a, b) VALUES", ((n, str(n)) for n in range(3)))
    client.execute("INSERT INTO `t` (`a`) VALUES", [{"a": 3}])
    client.execute("INSERT INTO tried.t (* EXCEPT b) VALUES", [(4,)])
    client.execute("INSERT INTO t VALUES (5, 'inline; VALUES')")
    client.execute("INSERT INTO t SELECT 6, 'FORMAT'")
    client.execute("INSERT INTO t VALUES", [])
    assert client.execute("SELECT * FROM t ORDER BY a") == [
        (0, "0"), (1, "1"), (2, "2"), (3, "none"), (4, "none"),
        (5, "inline; VALUES"), (6, "FORMAT"),
    ]  # fmt: skip


def test_dataframes(front: Front, client: Client) -> None:
    client.execute("CREATE TABLE t (a Int64, b String) ENGINE = MergeTree ORDER BY a")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    with front.client(settings={"use_numpy": True}, database="tried") as with_numpy:
        assert with_numpy.insert_dataframe("INSERT INTO t VALUES", frame) == 2
        got = with_numpy.query_dataframe("SELECT * FROM t ORDER BY a")
    assert got.to_dict("list") == frame.to_dict("list")


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("SELECT * FROM nope", 60, "Unknown table"),
        ("SELEC 1", 62, "Syntax error"),
        ("SELECT nope", 47, "nope"),
        ("SELECT throwIf(number = 100000) FROM numbers(200000)", 395, "throwIf"),
        ("SELECT toUInt8('x')", 6, "Cannot parse"),
        ("SELECT 1 FROM numbers(10) SETTINGS max_rows_to_read = 1", 158, "Limit for rows"),
        ("USE nowhere", 81, "nowhere"),
        ("CREATE TABLE system.one (a Int8) ENGINE = Memory", 57, "already exists"),
        ("SELECT 1 AS j, '{\"a\":1}'::JSON AS json", 48, "cast it to String"),
    ],
)
def test_exceptions_have_clickhouses_codes(
    client: Client, query: str, code: int, words: str
) -> None:
    with pytest.raises(ServerException, match=words) as raised:
        client.execute(query)
    assert raised.value.code == code
    assert client.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("INSERT INTO nope VALUES", 60),
        ("INSERT INTO t (a, nope) VALUES", 16),
        ("INSERT INTO t VALUES", 469),
    ],
)
@pytest.mark.parametrize("revision", [54400, None])
def test_failed_insert_leaves_the_connection_usable(
    front: Front, client: Client, query: str, code: int, revision: int | None
) -> None:
    client.execute(
        "CREATE TABLE t (a Int32, CONSTRAINT c CHECK a > 0) ENGINE = MergeTree ORDER BY a"
    )
    with front.client(database="tried", client_revision=revision) as spoken:
        spoken.execute("SELECT 1")
        connection = spoken.connection
        connection.send_query(query)
        connection.send_external_tables([])
        packet = connection.receive_packet()
        for rows in ([[1, -1]], [[2, 3]], []):
            if packet.type == ServerPacketTypes.DATA:
                connection.send_data(ColumnOrientedBlock([("a", "Int32")] if rows else [], rows))
        while packet.type != ServerPacketTypes.EXCEPTION:
            packet = connection.receive_packet()
        assert packet.exception.code == code
        assert connection.ping()
        connection.send_query("SELECT 5")
        connection.send_external_tables([])
        assert spoken.receive_result() == [(5,)]
    assert client.execute("SELECT count() FROM t") == [(0,)]


@pytest.mark.parametrize("revision", [54400, None])
def test_a_refused_block_does_not_break_the_conversation(
    front: Front, client: Client, revision: int | None
) -> None:
    client.execute("CREATE TABLE t (a Int32) ENGINE = MergeTree ORDER BY a")
    with front.client(database="tried", client_revision=revision) as spoken:
        spoken.execute("SELECT 1")
        connection = spoken.connection
        connection.send_query("INSERT INTO t VALUES")
        connection.send_external_tables([])
        connection.receive_packet()
        connection.send_data(ColumnOrientedBlock([("a", "String")], [["not a number"]]))
        connection.send_data(ColumnOrientedBlock())
        while (packet := connection.receive_packet()).type != ServerPacketTypes.EXCEPTION:
            pass
        assert packet.exception.code == 6
        assert connection.ping()


def test_cancel_a_query_that_says_nothing(client: Client) -> None:
    progress = client.execute_with_progress(ENDLESS)
    read, total = next(iter(progress))
    assert 0 < read < total
    started = time.monotonic()
    client.cancel()
    assert time.monotonic() - started < 5
    assert client.execute("SELECT 1") == [(1,)]


def test_a_client_that_leaves_ends_its_query(front: Front, client: Client) -> None:
    with front.client() as leaving:
        next(iter(leaving.execute_with_progress(ENDLESS)))
        leaving.disconnect()
    deadline = time.monotonic() + 10
    running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT count() FROM numbers%'"
    while client.execute(running) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_clients_do_not_wait_for_one_another(front: Front, client: Client) -> None:
    slow = (
        "SELECT sum(sleepEachRow(0.5)) FROM numbers(4) SETTINGS max_block_size = 1, max_threads = 1"
    )
    with front.client() as sleeper:
        thread = threading.Thread(target=sleeper.execute, args=(slow,))
        started = time.monotonic()
        thread.start()
        time.sleep(0.2)
        assert client.execute("SELECT 1") == [(1,)]
        assert time.monotonic() - started < 1.5
        thread.join()
        assert time.monotonic() - started > 1.9


def test_parallel_inserts_and_selects(front: Front, client: Client) -> None:
    client.execute("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            with front.client(database="tried") as own:
                for step in range(10):
                    rows = [[first + step * 100 + n for n in range(100)]]
                    own.execute("INSERT INTO t VALUES", rows, columnar=True)
                    own.execute("SELECT sum(a) FROM t")
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n * 1000,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert client.execute("SELECT count(), uniqExact(a), max(a) FROM t") == [(6000, 6000, 5999)]


def test_sessions_have_their_own_database(front: Front, client: Client) -> None:
    with front.client(database="system") as other:
        assert other.execute("SELECT currentDatabase()") == [("system",)]
        assert client.execute("SELECT currentDatabase()") == [("tried",)]


def test_dictionaries_and_parameterised_views(client: Client) -> None:
    client.execute("CREATE TABLE people (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
    client.execute("INSERT INTO people VALUES", [(1, "Ada"), (2, "Max")])
    client.execute(
        "CREATE DICTIONARY names (id UInt64, name String) PRIMARY KEY id "
        "SOURCE(CLICKHOUSE(QUERY 'SELECT id, name FROM tried.people')) "
        "LAYOUT(HASHED()) LIFETIME(0)"
    )
    client.execute("CREATE VIEW later AS SELECT * FROM people WHERE id >= {first:UInt64}")
    assert client.execute("SELECT dictGet('tried.names', 'name', toUInt64(2))") == [("Max",)]
    assert client.execute("SELECT name FROM later(first = 2)") == [("Max",)]


def test_external_tables(client: Client) -> None:
    table = {"name": "sent", "structure": [("x", "Int32")], "data": [{"x": 4}, {"x": 5}]}
    assert client.execute("SELECT sum(x) FROM sent", external_tables=[table]) == [(9,)]
    with pytest.raises(ServerException, match="sent"):
        client.execute("SELECT sum(x) FROM sent")


def test_totals_and_extremes(client: Client) -> None:
    query = "SELECT number % 2 AS n, sum(number) FROM numbers(5) GROUP BY n WITH TOTALS ORDER BY n"
    assert client.execute(query) == [(0, 6), (1, 4), (0, 10)]
    got = client.execute("SELECT number, 'a\n' FROM numbers(3)", settings={"extremes": 1})
    assert got[3:] == [(0, "a\n"), (2, "a\n")]


def test_progress_and_profile(client: Client) -> None:
    client.execute("SELECT number FROM numbers(100000)")
    last = client.last_query
    assert last.profile_info.rows == 100_000
    assert (last.progress.rows, last.progress.bytes) == (100_000, 800_000)
    assert last.progress.total_rows == 100_000
    assert last.progress.elapsed_ns > 0


@pytest.mark.parametrize(
    ("options", "code"),
    [({"user": "bob"}, 516), ({"password": "secret"}, 516), ({"database": "nowhere"}, 81)],
)
def test_refused_at_the_door(front: Front, options: dict[str, str], code: int) -> None:
    with front.client(**options) as refused, pytest.raises(ServerException) as raised:
        refused.execute("SELECT 1")
    assert raised.value.code == code
