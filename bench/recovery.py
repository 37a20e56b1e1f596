"""Seconds and memory to recover a partition of anchors: from the changelog, and from the disk.

Apache Kafka on this machine (`make kafka` has fetched it); each way in a process of its own.

python -m bench.recovery [anchors]
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from deploy.local import kafka
from deploy.local.process import free_ports, is_open
from schemas import topics
from schemas.settings import Settings
from schemas.state import AnchorState, Part
from streams import metrics
from streams.agents.resolve import States, merge_states
from streams.cluster import declare, incarnations
from streams.delivery import Outgoing, connect, deliver
from streams.recovery import Recovery

TOPIC = topics.ANCHORS.name
TAIL = 1_000  # records that came while the worker was away
DAY = 20_500
# way -> whether the worker has a disk; the second fills it
WAYS = {"changelog to memory": False, "changelog to disk": True, "disk and tail": True}


def main(anchors: int = 100_000) -> None:
    with TemporaryDirectory(prefix="recovery") as folder:
        port, controller_port = free_ports(2)
        kafka.prepare(Path(folder) / "kafka", port, controller_port, jars=kafka.JARS)
        broker = subprocess.Popen(kafka.command(Path(folder) / "kafka", kafka.JARS))
        try:
            deadline = monotonic() + 60
            while not is_open(port):
                assert monotonic() < deadline, "the broker does not answer"
                sleep(0.1)
            settings = Settings(kafka=f"127.0.0.1:{port}", partitions=1)
            declare(settings)
            asyncio.run(_write(settings, range(anchors), n=3))
            size = len(_state(0, 3))
            print(f"{anchors:,} anchors of {size:,} bytes in one partition")
            print(f"{'':22} {'seconds':>8} {'from disk':>10} {'from topic':>11} {'RSS, MB':>8}")
            for way, on_disk in WAYS.items():
                if way == "disk and tail":
                    asyncio.run(_write(settings, range(min(TAIL, anchors)), n=4))
                state = f"{folder}/state" if on_disk else ""
                done = subprocess.run(
                    [sys.executable, "-m", "bench.recovery", "--one", settings.kafka, state],
                    stdout=subprocess.PIPE,
                    check=True,
                )
                row = "{seconds:8.2f} {disk:10,.0f} {topic:11,.0f} {rss:8,.0f}"
                print(f"{way:22} {row.format(**json.loads(done.stdout))}", flush=True)
        finally:
            broker.terminate()
            broker.wait()


def _state(anchor: int, n: int) -> bytes:
    """An anchor with some days of visits and a text, as the simulator's typically are."""
    part = Part(
        n=n,
        visits={DAY + day: 3 for day in range(6)},
        days={DAY + day: {"texts": 1, "pleased": 400, "spend:IRR": 1_250_000} for day in range(3)},
        troubles={DAY: {"calls": 1, "wait_seconds": 300, "unresolved": 1}},
        first_ms=DAY * 86_400_000,
        last_ms=(DAY + 6) * 86_400_000,
        last_visit_ms=(DAY + 6) * 86_400_000,
    )
    seen = [(anchor * 31 + event) * 0x9E3779B97F4A7C15 % 2**64 for event in range(20)]
    customer = f"customer:C-{anchor:07d}"
    return msgspec.json.encode(
        AnchorState(part, customer, 7, {"": (7, 7)}, offset=anchor * 10 + n, seen=seen)
    )


async def _write(settings: Settings, anchors: range, n: int) -> None:
    async with connect(settings) as producer:
        for start in range(anchors.start, anchors.stop, 2_000):
            names = anchors[start - anchors.start :][:2_000]
            await deliver(
                producer,
                [Outgoing(TOPIC, 0, b"cookie:%032x" % name, _state(name, n)) for name in names],
            )


async def _one(server: str, folder: str) -> dict[str, Any]:
    settings = Settings(kafka=server, state=Path(folder) if folder else None)

    @asynccontextmanager
    async def consumer() -> AsyncIterator[AIOKafkaConsumer]:
        opened = AIOKafkaConsumer(bootstrap_servers=server, max_partition_fetch_bytes=4 << 20)
        await opened.start()
        try:
            yield opened
        finally:
            await opened.stop()

    async with connect(settings) as producer:
        recovery = Recovery(settings.state, consumer, partial(deliver, producer))
        recovery.incarnations = incarnations(settings)
        recovery.start()
        began = perf_counter()
        states = States(await recovery.recover(TOPIC, 0, merge_states))
        assert states.get(f"cookie:{0:032x}") is not None
        seconds = perf_counter() - began
        recovery.stop()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    disk, topic = (metrics.RECOVERED.labels(TOPIC, s)._value.get() for s in ("disk", "changelog"))
    return {"seconds": seconds, "disk": disk, "topic": topic, "rss": rss}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(asyncio.run(_one(*sys.argv[2:]))))
    else:
        main(*map(int, sys.argv[1:]))
