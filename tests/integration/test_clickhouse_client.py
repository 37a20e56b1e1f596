"""ClickHouse's own command line against the embedded ClickHouse: Debian's package, from 2018."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.clickhouse_process import Front, running_front

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


def ask(front: Front, query: str, *options: str, data: str | None = None) -> str:
    binary = shutil.which("clickhouse-client")
    if binary is None:
        pytest.fail("install with: make integration-tools")
    place = ["--host", "127.0.0.1", "--port", str(front.port)]
    ended = subprocess.run(
        [binary, *place, *options, "--query", query],
        input=data, stdin=None if data is not None else subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"{ended.returncode}: {ended.stderr}")
    return ended.stdout


@pytest.mark.parametrize("compression", ["0", "1"])
def test_select_and_insert(front: Front, compression: str) -> None:
    options = (f"--compression={compression}", "--max_block_size=1000")
    ask(front, "DROP TABLE IF EXISTS t", *options)
    ask(front, "CREATE TABLE t (a Int32, b String) ENGINE = MergeTree ORDER BY a", *options)
    ask(front, "INSERT INTO t VALUES (1, 'x'), (2, 'y')", *options)
    ask(front, "INSERT INTO t FORMAT TSV", *options, data="3\tthree\n4\tfour\n")
    assert ask(front, "SELECT * FROM t ORDER BY a", *options) == "1\tx\n2\ty\n3\tthree\n4\tfour\n"
    many = ask(front, "SELECT number, toString(number) FROM numbers(30000)", *options)
    assert many.count("\n") == 30_000


def test_formats_are_made_by_the_client(front: Front) -> None:
    got = json.loads(ask(front, "SELECT 1 AS x, 'a' AS y FORMAT JSON"))
    assert got["data"] == [{"x": 1, "y": "a"}]
    assert ask(front, "SELECT 1 AS x WHERE 0 FORMAT CSVWithNames") == '"x"\n'


def test_errors_reach_the_command_line(front: Front) -> None:
    with pytest.raises(RuntimeError, match=r"Code: 60\. DB::Exception.*nope"):
        ask(front, "SELECT * FROM nope")
