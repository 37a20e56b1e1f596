"""The embedded ClickHouse as a process: starting, stopping, dying, and bytes no client sends."""

import contextlib
import random
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_driver import errors
from clickhouse_driver.errors import ServerException

from tests.integration.clickhouse_process import ROOT, Front, command, running_front

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_front(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


def test_kill_loses_no_acknowledged_insert(tmp_path: Path) -> None:
    acknowledged = 0
    with running_front(tmp_path) as front:
        with front.client() as client:
            client.execute("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
        stop = threading.Timer(1.5, front.kill)
        stop.start()
        with front.client() as client, contextlib.suppress(errors.Error, EOFError, OSError):
            while True:
                rows = list(range(acknowledged, acknowledged + 1000))
                client.execute("INSERT INTO t VALUES", [rows], columnar=True)
                acknowledged += 1000
        stop.join()
    assert acknowledged > 0
    with running_front(tmp_path) as front, front.client() as client:
        count, highest = client.execute("SELECT uniqExact(a), max(a) FROM t")[0]
        whole = client.execute(f"SELECT uniqExact(a) FROM t WHERE a < {acknowledged}")
    assert whole == [(acknowledged,)]
    # the insert under way when it died may have been written, but only whole
    assert count in {acknowledged, acknowledged + 1000}
    assert highest == count - 1
    assert list((tmp_path / "incoming").iterdir()) == []


def test_sigterm_finishes_the_running_insert(tmp_path: Path) -> None:
    def rows(running: Front) -> Iterator[tuple[int]]:
        for n in range(30):
            if n == 10:
                running.process.send_signal(signal.SIGTERM)
            if n > 10:
                time.sleep(0.02)
            yield (n,)

    with running_front(tmp_path) as front:
        with front.client(settings={"insert_block_size": 1}) as client, front.client() as idle:
            idle.execute("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
            assert client.execute("INSERT INTO t VALUES", rows(front)) == 30
        assert front.process.wait(20) == 0
        with front.client() as late, pytest.raises(errors.NetworkError):
            late.execute("SELECT 1")
    with running_front(tmp_path) as front, front.client() as client:
        assert client.execute("SELECT count() FROM t") == [(30,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_running_select_soon(tmp_path: Path, number: signal.Signals) -> None:
    with running_front(tmp_path) as front, front.client() as client:
        query = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sin(number))"
        progress = client.execute_with_progress(query)
        next(iter(progress))
        started = time.monotonic()
        front.process.send_signal(number)
        assert front.process.wait(20) == 0
        assert time.monotonic() - started < 10
        with contextlib.suppress(errors.Error, EOFError):
            client.disconnect()


def refusal(folder: Path, port: int = 0) -> str:
    """What a process that cannot start prints: one line, no traceback, exit code 2."""
    ended = subprocess.run(
        command(folder, port), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_taken_port(front: Front, tmp_path: Path) -> None:
    assert f"--port {front.port}: cannot listen" in refusal(tmp_path, front.port)
    assert "not 0 to 65535" in refusal(tmp_path, 70_000)


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert "choose a writable folder" in refusal(tmp_path / "file" / "data")


def test_folder_in_use(tmp_path: Path) -> None:
    with running_front(tmp_path):
        assert "another process is using it" in refusal(tmp_path)
    with running_front(tmp_path) as again, again.client() as client:
        assert client.execute("SELECT 1") == [(1,)]


def test_listens_on_the_loopback_only(front: Front) -> None:
    wanted = f":{front.port:04X}"
    lines = (
        Path("/proc/net/tcp").read_text().splitlines()
        + Path("/proc/net/tcp6").read_text().splitlines()
    )
    listening = [line.split()[1] for line in lines[1:] if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(wanted)] == [f"0100007F{wanted}"]


def string(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


HELLO = b"\x00" + string("ClickHouse x") + b"\x14\x0a" + b"\xb5\xa9\x03" + string("") * 3
QUERY_HEAD = b"\x01" + string("") + b"\x00" + string("") + string("") + b"\x02"
DATA_HEAD = b"\x02\x00" + b"\x01\x00\x02\xff\xff\xff\xff\x00"
HUGE = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"

GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "long name": b"\x00" + HUGE,
    "endless number": b"\x00" + b"\xff" * 64,
    "not utf-8": b"\x00\x02\xff\xfe",
    "unknown packet": HELLO + b"\x00" + b"\x63" * 20,
    "long query": HELLO + b"\x00" + QUERY_HEAD + b"\x00" + HUGE,
    "many columns": HELLO + b"\x00" + QUERY_HEAD + b"\x00\x08SELECT 1\x00" + DATA_HEAD + HUGE * 2,
    "many rows": HELLO
    + b"\x00"
    + QUERY_HEAD
    + b"\x00\x08SELECT 1\x00"
    + DATA_HEAD
    + b"\x01\xff\xff\xff\xff\x07"
    + string("a")
    + string("Array(UInt64)")
    + b"\x00"
    + b"\xff" * 4096,
    "deep type": HELLO
    + b"\x00"
    + QUERY_HEAD
    + b"\x00\x08SELECT 1\x00"
    + DATA_HEAD
    + b"\x01\x01"
    + string("a")
    + b"\xa0\x1f"
    + b"Array(" * 666
    + b"\x00\x00\x00\x00",
    "corrupt frame": HELLO
    + b"\x00"
    + QUERY_HEAD
    + b"\x01\x08SELECT 1\x00"
    + b"\x02\x00"
    + b"\x07" * 16
    + struct.pack("<BII", 0x82, 1000, 1 << 30)
    + b"\x00" * 991,
}


def throw(front: Front, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as sock:
        got = b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            while received := sock.recv(65536):
                got += received
        return got


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused(front: Front, name: str) -> None:
    before = front.resident_mib()
    answer = throw(front, GARBAGE[name])
    assert b"DB::Exception" in answer
    assert front.resident_mib() - before < 64
    with front.client() as client:
        assert client.execute("SELECT 1") == [(1,)]


def test_random_bytes(front: Front) -> None:
    dice = random.Random(7)
    before = front.resident_mib()
    for turn in range(150):
        start = (b"", HELLO + b"\x00", HELLO + b"\x00" + QUERY_HEAD)[turn % 3]
        throw(front, start + dice.randbytes(dice.randrange(1, 5000)))
    assert front.resident_mib() - before < 64
    with front.client() as client:
        assert client.execute("SELECT 1") == [(1,)]


def test_number_of_connections_is_bounded(tmp_path: Path) -> None:
    with running_front(tmp_path) as front, contextlib.ExitStack() as opened:
        for _ in range(100):
            opened.enter_context(socket.create_connection(("127.0.0.1", front.port)))
        with front.client() as late, pytest.raises(ServerException, match="Too many") as raised:
            late.execute("SELECT 1")
        assert raised.value.code == 202
        opened.close()
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(ServerException), front.client() as client:
                assert client.execute("SELECT 1") == [(1,)]
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
