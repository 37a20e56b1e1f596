"""Records a second of simulate, prepare, publish and import, against the embedded broker.

python -m bench.producers [records]
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from producers.importer import import_file
from producers.publisher import Publisher, prepare
from producers.simulator import publish_simulation, simulate
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, TOUCHPOINTS
from tests.servers import running_broker

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY = "bench key"


def main(records: int) -> None:
    customers = max(1, records // 30)
    made = list(simulate(records, customers, 1, NOW))
    touchpoints = [record.touchpoint for record in made if record.touchpoint is not None]

    def timed(name: str, count: int, work: Callable[[], object]) -> None:
        gc.collect()
        gc.freeze()  # the prepared input is not to be collected over and over by what is timed
        began = time.perf_counter()
        work()
        taken = time.perf_counter() - began
        print(f"{name:32} {count / taken:>10,.0f}/s   {count:,} in {taken:.2f} s", flush=True)

    timed("simulate", records, lambda: sum(1 for _ in simulate(records, customers, 2, NOW)))
    key = KEY.encode()
    wires: list[tuple[str, bytes]] = []
    timed(
        "prepare",
        len(touchpoints),
        lambda: wires.extend(prepare(touchpoint, key, "IR") for touchpoint in touchpoints),
    )
    with running_broker() as port, tempfile.TemporaryDirectory() as folder:
        settings = Settings(kafka=f"127.0.0.1:{port}", identity_key=KEY)
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
        admin.create_topics([NewTopic(topic.name, 4, 1) for topic in (TOUCHPOINTS, DEAD_LETTERS)])
        path = Path(folder) / "touchpoints.ndjson"
        path.write_text("".join(json.dumps(touchpoint) + "\n" for touchpoint in touchpoints))
        with Publisher(settings) as publisher:

            def publish() -> None:
                for anchor, wire in wires:
                    publisher.publish(wire, anchor)
                publisher.flush()

            def import_() -> None:
                report = import_file(path, publisher, settings, NOW)
                assert report.published == len(touchpoints), report.rejected

            def simulation() -> None:
                stream = simulate(records, customers, 3, NOW)
                assert publish_simulation(stream, publisher, key, "IR").sent == records

            timed("publish", len(wires), publish)
            timed("import NDJSON and publish", len(touchpoints), import_)
            timed("simulate, prepare and publish", records, simulation)
            assert publisher.delivered == len(wires) + len(touchpoints) + records


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
