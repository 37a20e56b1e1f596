"""Inserts and queries of the ledger on the embedded ClickHouse: `python -m bench.analytics`.

A seeded ledger: 15 touchpoints for each of rows/15 customers over 90 days, three anchors to a
customer, six kinds of step. Every answer is asserted before its time is printed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from clickhouse_driver import Client

from analytics.customers import customers
from analytics.funnel import funnel
from analytics.paths import paths
from analytics.retention import retention
from analytics.status import status
from analytics.timeline import timeline
from sinks.backlog import Batch
from sinks.clickhouse import connect, prepare
from sinks.consumer import collect_less, write
from sinks.writer import ClickHouseWriter
from tests.servers import running_clickhouse
from tests.sink_records import record, step

A_CUSTOMERS = 15
FOUR = ["web:page_view", "web:product_view", "web:add_to_cart", "order:placed"]
T = TypeVar("T")


def fill(client: Client, rows: int) -> None:
    """The ledger and its identities, made by the server in blocks of a million."""
    people = rows // A_CUSTOMERS
    client.execute(
        f"""INSERT INTO identity_members SELECT
        concat(['cookie:', 'device:'][1 + number % 2], lower(hex(sipHash64(number)))),
        concat('email:h-', lower(hex(sipHash128(intDiv(number, 2))))), number + 1
        FROM numbers({2 * people})"""
    )
    for start in range(0, rows, 1_000_000):
        client.execute(
            f"""INSERT INTO touchpoints
            (anchor, occurred_at, event_id, channel, type, identifiers, text, fields, properties,
             received_at)
            WITH sipHash64(number, 1) % {people} AS person, sipHash64(number, 2) AS dice,
                1 + dice % 6 AS kind
            SELECT multiIf(
                    dice % 5 = 0, concat('email:h-', lower(hex(sipHash128(toUInt64(person))))),
                    concat(['cookie:', 'device:'][1 + dice % 2],
                        lower(hex(sipHash64(toUInt64(2 * person + dice % 2)))))) AS anchor,
                fromUnixTimestamp64Milli(
                    toInt64(1767225600000 + sipHash64(number, 3) % 7776000000), 'UTC'),
                reinterpretAsUUID(sipHash128(number)),
                ['web', 'web', 'web', 'order', 'call_center', 'web'][kind],
                ['page_view', 'product_view', 'add_to_cart', 'placed', 'call', 'search'][kind],
                [anchor], if(dice % 20 = 7, 'the order is late again, please call me', ''),
                map('page', concat('/p/', toString(dice % 2000))), '{{}}',
                fromUnixTimestamp64Milli(toInt64(1767225600000 + number), 'UTC')
            FROM numbers({start}, {min(1_000_000, rows - start)})"""
        )
    client.execute("SYSTEM RELOAD DICTIONARY customer_of")


def timed(name: str, run: Callable[[], T], times: int = 3) -> T:
    """Print the best of so many runs."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        found = run()
        took.append(time.perf_counter() - began)
    print(f"{name:48s} {min(took):9.3f} s", flush=True)
    return found


def insert_rate(client: Client, rows: int = 200_000, block: int = 50_000) -> None:
    """Kafka's bytes to acknowledged rows, the way the sink does it."""
    steps = [
        step(
            f"cookie:{n % 9_973}",
            1_700_000_000_000 + n,
            n,
            fields={"page": f"/p/{n % 2_000}", "product": f"sku-{n % 500}"},
        )
        for n in range(rows)
    ]
    raw = [msgspec.json.encode(s) for s in steps]
    writer = ClickHouseWriter(client)
    batches = []
    for start in range(0, rows, block):
        batch = Batch()
        batch.records["journeys"] = [record("journeys", r) for r in raw[start : start + block]]
        batches.append(batch)
    before = client.execute("SELECT count() FROM touchpoints FINAL")[0][0]
    began = time.perf_counter()
    for batch in batches:
        write(batch, writer)
    took = time.perf_counter() - began
    assert client.execute("SELECT count() FROM touchpoints FINAL")[0][0] == before + rows
    print(f"{'sink: decode, columns, insert':48s} {rows / took:9,.0f} rows/s", flush=True)


def main() -> None:
    """Measure on `--rows` touchpoints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    collect_less()
    with tempfile.TemporaryDirectory() as folder, running_clickhouse(Path(folder)) as port:
        url = f"clickhouse://default@127.0.0.1:{port}/bench"
        prepare(url)
        client = connect(url)
        insert_rate(client)
        client.execute("TRUNCATE TABLE touchpoints")
        timed(f"server fills {rows:,} rows", lambda: fill(client, rows), times=1)
        size = client.execute(
            "SELECT sum(bytes_on_disk) FROM system.parts "
            "WHERE active AND database = 'bench' AND table = 'touchpoints'"
        )
        print(f"{'on disk':48s} {size[0][0] / rows:9.1f} bytes/row")
        timed("reload of the identities", lambda: ClickHouseWriter(client).refresh())
        found = timed("4-step funnel, a week's window", lambda: funnel(client, FOUR, 604_800))
        reached = [s.customers for s in found]
        assert reached == sorted(reached, reverse=True)
        assert reached[-1] > 0
        repeated = ["web:page_view", "web:search", "web:page_view", "order:placed"]
        again = timed("4-step funnel, a step repeated", lambda: funnel(client, repeated, 604_800))
        assert again[0] == found[0]
        timed("4-step funnel by account", lambda: funnel(client, FOUR, 604_800, unit="account"))
        cookie = client.execute(
            "SELECT anchor FROM touchpoints WHERE startsWith(anchor, 'cookie:') LIMIT 1"
        )[0][0]
        line = timed("timeline by cookie", lambda: timeline(client, cookie), times=10)
        assert len(line.identifiers) == 3
        assert timed("next steps", lambda: paths(client, "web:add_to_cart"))
        assert timed("weekly retention", lambda: retention(client))
        counts = timed("status", lambda: status(client))
        assert counts.touchpoints == rows
        streamed = timed("every customer", lambda: sum(1 for _ in customers(client)), times=1)
        assert streamed >= counts.customers


if __name__ == "__main__":
    main()
