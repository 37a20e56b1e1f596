"""What a touchpoint costs in a worker, a sink, ClickHouse and the broker, and on their disks.

The local stack on Apache Kafka (`make kafka` has fetched it), one worker, a simulation sent at a
steady rate: at full speed a chunk has more touchpoints, and each of them costs less. Its last line
is the table of `streams.core.sizing`, as JSON.

python -m bench.sizing [touchpoints [a second]]
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka import KafkaConsumer, TopicPartition

from deploy.local import demo, kafka
from deploy.local.stack import Stack
from schemas import topics
from schemas.settings import STACK_FILE, Settings
from sinks.clickhouse import connect
from streams.core.sizing import MEASURED, Figures

WARM_UP = 5_000
TICKS = os.sysconf("SC_CLK_TCK")
PARTS = """
SELECT table, sum(bytes_on_disk), sum(rows) FROM system.parts
WHERE active AND database = currentDatabase() GROUP BY table
"""


def main(touchpoints: int = 30_000, rate: int = 500) -> None:
    with TemporaryDirectory(prefix="sizing") as folder:
        settings = Settings(data=Path(folder), kafka_jars=kafka.JARS, partitions=4)
        stack = Stack(settings, workers=1, port_base=None, report=lambda *_: None)
        stack.start(fresh=True)
        try:
            demo.run(stack, WARM_UP, WARM_UP // 30, 1, None, lambda *_: None)
            before, log_before = _seconds(Path(folder)), _log_bytes(Path(folder))
            began = time.monotonic()
            done = demo.run(stack, touchpoints, touchpoints // 30, 2, rate, lambda *_: None)
            took = time.monotonic() - began
            assert done.stored == done.counted > touchpoints // 2, done.as_json()
            used = {name: s - before[name] for name, s in _seconds(Path(folder)).items()}
            log = {name: n - log_before[name] for name, n in _log_bytes(Path(folder)).items()}
            figures, anchors = _figures(stack, touchpoints, used, log)
        finally:
            stack.stop(drain=False)
        state = sum(f.stat().st_size for f in Path(folder, "state").rglob("*") if f.is_file())
        figures = replace(figures, state_bytes=state / anchors)
    print(f"{touchpoints:,} touchpoints in {took:.1f} s, {touchpoints / took:,.0f} a second")
    for name, seconds in sorted(used.items()):
        print(f"{name:12} {seconds / touchpoints * 1e3:8.3f} ms of CPU a touchpoint")
    for name, size in sorted(log.items()):
        print(f"{name:18} {size / touchpoints:8.1f} bytes a touchpoint as written")
    print(json.dumps(asdict(figures)))


def _figures(
    stack: Stack, sent: int, used: dict[str, float], log: dict[str, int]
) -> tuple[Figures, int]:
    client = connect(stack.settings.clickhouse.get_secret_value())
    for table in ("touchpoints", "parts", "health"):
        client.execute(f"OPTIMIZE TABLE {table} FINAL")
    sizes = {table: (size, rows) for table, size, rows in client.execute(PARTS)}
    (anchors,) = client.execute("SELECT count() FROM parts FINAL")[0]
    (customers,) = client.execute("SELECT uniqExact(customer) FROM parts FINAL")[0]
    client.disconnect()
    ledger, rows = sizes.pop("touchpoints")
    others = sum(size for table, (size, _) in sizes.items() if table != "dead_letters")
    status = Path(f"/proc/{_pids(stack.settings.data)['worker-1']}/status").read_text()
    found = Figures(
        worker_seconds=used["worker-1"] / sent,
        sink_seconds=used["sink"] / sent,
        clickhouse_seconds=used["clickhouse"] / sent,
        broker_seconds=used["broker"] / sent,
        log_bytes={topic.name: log[topic.name] / sent for topic in topics.TOPICS},
        changelog_bytes=_compacted(stack.settings.kafka) / anchors,
        ledger_bytes=ledger / rows,
        table_bytes=others / anchors,
        state_bytes=0.0,
        worker_memory=1024.0 * int(status.partition("VmRSS:")[2].split()[0]),
        identity_memory=MEASURED.identity_memory,
        anchors_per_customer=anchors / customers,
    )
    return found, anchors


def _compacted(server: str) -> int:
    """Bytes of the newest record of each key, in all compacted topics."""
    newest: dict[tuple[str, bytes], int] = {}
    consumer = KafkaConsumer(bootstrap_servers=server, enable_auto_commit=False)
    places = [
        TopicPartition(topic.name, partition)
        for topic in topics.TOPICS
        if topic.compacted
        for partition in consumer.partitions_for_topic(topic.name)
    ]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    while any(consumer.position(place) < ends[place] for place in places):
        for place, records in consumer.poll(timeout_ms=500).items():
            for one in records:
                size = len(one.key) + len(one.value) if one.value is not None else 0
                newest[place.topic, one.key] = size
    consumer.close()
    return sum(newest.values())


def _pids(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / STACK_FILE).read_text())["processes"]
    return found


def _seconds(folder: Path) -> dict[str, float]:
    """CPU seconds of each process so far."""
    found = {}
    for name, pid in _pids(folder).items():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[name] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def _log_bytes(folder: Path) -> dict[str, int]:
    """Bytes of each topic's log as the broker keeps it."""
    return {
        topic.name: sum(
            file.stat().st_size
            for partition in (folder / "kafka").rglob(f"{topic.name}-*")
            for file in partition.glob("*.log")
        )
        for topic in topics.TOPICS
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
