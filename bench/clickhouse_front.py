"""Rows per second through the embedded ClickHouse's protocol, beside chDB called directly.

    python -m bench.clickhouse_front [--rows 2000000]

Inserts are 100,000-row columnar blocks of 10 columns. "front" is clickhouse-driver with its own
encoding and decoding; "front, bytes" is the same bytes without clickhouse-driver's share.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import chdb
from clickhouse_driver import Client

from deploy.local.clickhouse.blocks import Block, native_blocks
from tests.integration.clickhouse_process import running_front

BLOCK_ROWS = 100_000
# an empty block (bucket -1, no columns, no rows), then EndOfStream
LAST_PACKETS = b"\xff\xff\xff\xff\x00\x00\x00\x05"
KINDS = {
    "id": "UInt64", "at": "DateTime64(3, 'UTC')", "channel": "LowCardinality(String)",
    "anchor": "String", "text": "String", "amount": "Int64", "score": "Int32", "kind": "UInt8",
    "weight": "Float64", "day": "Date",
}  # fmt: skip
COLUMNS = ", ".join(f"{name} {kind}" for name, kind in KINDS.items())
CREATE = f"CREATE TABLE t ({COLUMNS}) ENGINE = MergeTree ORDER BY (anchor, at)"
GENERATE = (
    "SELECT number AS id, toDateTime64(number / 10, 3, 'UTC') AS at, "
    "toLowCardinality(concat('channel-', toString(number % 6))) AS channel, "
    "concat('anchor-', toString(intHash32(number) % 100000)) AS anchor, "
    "repeat('text ', number % 12) AS text, toInt64(number * 3) AS amount, "
    "toInt32(number % 1000) AS score, toUInt8(number % 200) AS kind, number / 7 AS weight, "
    "toDate(number % 20000) AS day FROM numbers({start}, {rows})"
)
SELECTS = {
    "SELECT 10 columns": "SELECT * FROM t",
    "SELECT 2 integers": "SELECT id, amount FROM t",
    "SELECT 1 string": "SELECT anchor FROM t",
}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def native_insert_blocks(engine: Any, rows: int) -> list[Block]:
    blocks: list[Block] = []
    for start in range(0, rows, BLOCK_ROWS):
        query = GENERATE.format(start=start, rows=BLOCK_ROWS)
        settings = f" SETTINGS max_block_size = {BLOCK_ROWS}, max_threads = 1"
        (block,) = native_blocks(engine.query(query + settings, "Native").bytes())
        blocks.append(block)
    return blocks


def insert_directly(engine: Any, blocks: list[Block]) -> None:
    inserter = engine.send_insert("INSERT INTO t", "Native")
    for block in blocks:
        inserter.append(block.native())
    inserter.finish()


def insert_bytes(client: Client, blocks: list[Block]) -> None:
    """The driver's connection with ready-made Data packets instead of Python values."""
    connection = client.connection
    connection.force_connect()
    revision = connection.server_info.used_revision
    connection.send_query("INSERT INTO t VALUES")
    connection.send_external_tables([])
    connection.receive_packet()
    for block in [*blocks, Block(0, ())]:
        connection.socket.sendall(b"\x02\x00" + block.body(revision))
        client.receive_profile_events()
    client.receive_end_of_insert_query()
    connection.is_query_executing = False


def select_bytes(client: Client, query: str) -> int:
    """Every byte of a result, read off the socket and dropped; how many."""
    connection = client.connection
    connection.force_connect()
    connection.send_query(query)
    connection.send_external_tables([])
    total, end = 0, b""
    buffer = bytearray(1 << 20)
    while not end.endswith(LAST_PACKETS):
        got = connection.socket.recv_into(buffer)
        assert got, "the front hung up"
        total += got
        end = (end + buffer[max(0, got - 16) : got])[-16:]
    client.disconnect()
    return total


def drain(engine: Any, query: str) -> int:
    return sum(len(chunk.bytes()) for chunk in engine.send_query(query, "Native"))


def count_rows(client: Client, query: str) -> int:
    return sum(1 for _ in client.execute_iter(query))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    rows = parser.parse_args().rows // BLOCK_ROWS * BLOCK_ROWS
    with tempfile.TemporaryDirectory() as folder, running_front(Path(folder) / "front") as front:
        engine = chdb.connect(f"{folder}/direct")
        blocks = native_insert_blocks(engine, rows)
        frame = engine.query(GENERATE.format(start=0, rows=BLOCK_ROWS), "DataFrame")
        arrays = [frame[name].to_numpy() for name in KINDS]
        lists = [column.tolist() for column in arrays]
        client = front.client()
        for send in (engine.query, client.execute):
            send(CREATE)
        report("what", "chDB rows/s", "front, bytes", "front")
        direct = seconds(lambda: insert_directly(engine, blocks))
        passed = seconds(lambda: insert_bytes(client, blocks))
        client.execute("CREATE TABLE u AS t")
        driver_rows = min(rows, 5 * BLOCK_ROWS)
        driven = seconds(
            lambda: [
                client.execute("INSERT INTO u VALUES", lists, columnar=True)
                for _ in range(driver_rows // BLOCK_ROWS)
            ]
        )
        rates("INSERT 10 columns", rows / direct, rows / passed, driver_rows / driven)
        for name, query in SELECTS.items():
            direct = seconds(partial(drain, engine, query))
            passed = seconds(partial(select_bytes, client, query))
            driven = seconds(partial(count_rows, client, query))
            rates(name, rows / direct, rows / passed, rows / driven)


def rates(what: str, direct: float, passed: float, driven: float) -> None:
    report(
        what,
        f"{direct:,.0f}",
        f"{passed:,.0f} ({passed / direct:.2f})",
        f"{driven:,.0f} ({driven / direct:.2f})",
    )


def report(*cells: str) -> None:
    print(f"{cells[0]:<20}" + "".join(f"{cell:>24}" for cell in cells[1:]))


if __name__ == "__main__":
    main()
