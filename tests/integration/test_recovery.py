"""Workers with state on disk: what they read when they start again, without a disk, or take over.

Needs a broker that remembers: Apache Kafka (`make integration-kafka`).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.process import Process, free_ports
from deploy.local.scrape import scrape, total
from producers.publisher import Publisher, prepare
from schemas import topics
from schemas.outcome import erasure_key
from schemas.settings import Settings
from streams.cluster import WORKERS, declare, unread
from streams.store import DiskStore
from tests.disk_search import find
from tests.faults.check import newest
from tests.integration.journey import until
from tests.rocksdb_files import Unfinished
from tests.servers import BROKER_FORGETS, running_broker
from tests.wire import touchpoint

pytestmark = [
    pytest.mark.integration,
    pytest.mark.broker,
    pytest.mark.skipif(BROKER_FORGETS, reason="the embedded broker forgets"),
]
PARTITIONS = 2
ANCHORS = 300


class Workers:
    """Workers of one broker, each with a folder of state of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.settings = Settings(
            data=folder, kafka=f"127.0.0.1:{port}", partitions=PARTITIONS, identity_key="k"
        )
        self.parts: dict[str, Process] = {}
        self._ports: dict[str, int] = {}
        self._sent = 0

    def start(self, name: str, standby: bool = False) -> None:
        (port,) = free_ports(1)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("JOURNEY_")} | {
            "JOURNEY_DATA": str(self.folder),
            "JOURNEY_KAFKA": self.settings.kafka,
            "JOURNEY_PARTITIONS": str(PARTITIONS),
            "JOURNEY_IDENTITY_KEY": "k",
            "JOURNEY_STATE": str(self.state(name)),
            "JOURNEY_STANDBY": str(standby),
            "JOURNEY_METRICS_PORT": str(port),
        }
        command = [sys.executable, "-m", "streams.app"]
        self.parts[name] = Process(name, command, environ, self.folder / f"{name}.log")
        self._ports[name] = port

    def state(self, name: str) -> Path:
        return self.folder / "state" / name

    def kill(self, name: str) -> None:
        part = self.parts.pop(name)
        os.kill(part.pid, signal.SIGKILL)
        part.stop(10)

    def stop(self, name: str) -> None:
        self.parts.pop(name).stop(20)

    def send(self, count: int) -> None:
        """Touchpoints of so many anchors; returns once they are processed."""
        with Publisher(self.settings) as publisher:
            for n in range(self._sent, self._sent + count):
                name = {"kind": "cookie", "value": f"c-{n % ANCHORS}"}
                given = touchpoint(n, occurred_at="2025-03-01T08:00:00Z", identifiers=[name])
                anchor, wire = prepare(given, b"k", "IR")
                publisher.publish(wire, anchor)
        self._sent += count
        self.settle()

    def publish(self, *given: dict[str, Any]) -> None:
        """Touchpoints as they are; returns once they are processed."""
        with Publisher(self.settings) as publisher:
            for each in given:
                anchor, wire = prepare(each, b"k", "IR")
                publisher.publish(wire, anchor)
        self.settle()

    def erase(self, *identifiers: str) -> None:
        """What `journey erase` sends; returns once it is processed."""
        with Publisher(self.settings) as publisher:
            publisher.publish(None, erasure_key(identifiers), topics.LINKS.name)
        self.settle()

    def settle(self) -> None:
        """Wait until the workers have read everything."""
        try:
            until(self.is_idle, "")
        except AssertionError as error:
            raise AssertionError(f"{unread(self.settings)} {self.told()}") from error

    def wait_until_follows(self, name: str) -> None:
        """Wait for a standby; fails with what it says of itself."""
        try:
            until(lambda: self.follows(name), "")
        except AssertionError as error:
            page = scrape(self._ports[name]).splitlines()
            said = [line for line in page if "standby_lag{" in line or "assigned_part" in line]
            raise AssertionError(f"{name} does not follow: {said} {self.told()}") from error

    def follows(self, name: str) -> bool:
        """Whether a standby owns one of two partitions and is at the end of all others."""
        page = scrape(self._ports[name])
        assigned = total([page], "journey_assigned_partitions", topic=topics.TOUCHPOINTS.name)
        held = all((self.state(name) / f"{topics.ANCHORS.name}-{n}").exists() for n in (0, 1))
        behind = "journey_standby_lag" in page and not total([page], "journey_standby_lag")
        return held and assigned == 1 and behind

    def is_idle(self) -> bool:
        waiting = unread(self.settings)
        return not any(n for (group, _), n in waiting.items() if group == WORKERS)

    def counted(self) -> int:
        """Touchpoints in the parts that stand last."""
        found = newest(self.settings, topics.PARTS).values()
        return sum(n for value in found if (n := decode_n(value)) is not None)

    def recovered(self, name: str, topic: topics.Topic, source: str) -> float:
        sample = "journey_recovered_records_total"
        return total([scrape(self._ports[name])], sample, topic=topic.name, source=source)

    def told(self) -> str:
        return str({name: part.output()[-2000:] for name, part in self.parts.items()})


def decode_n(value: bytes) -> int | None:
    from streams.agents.stitch import decode_update

    update = decode_update(value)
    return update.n if update.part is not None else None


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    with running_broker() as port:
        found = Workers(tmp_path, port)
        declare(found.settings)
        try:
            yield found
        finally:
            for part in found.parts.values():
                part.stop(5)


def contents(folder: Path) -> dict[str, dict[bytes, bytes]]:
    """Every store of a worker that has ended."""
    found = {}
    for place in sorted(folder.iterdir()):
        if place.is_dir():
            store = DiskStore(place)
            found[place.name] = {key: store.get(key) or b"" for key in store.keys()}  # noqa: SIM118
            store.close()
    return found


# A store's number of keys is an estimate: a key written again may count twice.
def test_a_worker_reads_the_tail_only_and_everything_where_its_disk_is_gone(
    workers: Workers,
) -> None:
    workers.start("one")
    workers.send(3 * ANCHORS)
    workers.kill("one")
    workers.start("one")
    workers.send(10)
    assert ANCHORS <= workers.recovered("one", topics.ANCHORS, "disk") < 2 * ANCHORS
    assert workers.recovered("one", topics.ANCHORS, "changelog") == 0
    assert ANCHORS <= workers.recovered("one", topics.PARTS, "disk") < 2 * ANCHORS
    workers.kill("one")

    # Another works meanwhile: what it wrote is the tail.
    workers.start("two")
    workers.send(20)
    assert workers.recovered("two", topics.ANCHORS, "disk") == 0
    assert workers.recovered("two", topics.ANCHORS, "changelog") >= ANCHORS
    workers.stop("two")
    workers.start("one")
    workers.send(ANCHORS)
    assert ANCHORS <= workers.recovered("one", topics.ANCHORS, "disk") < 2 * ANCHORS
    assert 0 < workers.recovered("one", topics.ANCHORS, "changelog") <= 20
    assert workers.counted() == 4 * ANCHORS + 30
    workers.stop("one")

    kept = contents(workers.state("one"))
    assert len(kept[f"{topics.ANCHORS.name}-0"]) > ANCHORS // 3
    shutil.rmtree(workers.state("one"))
    workers.start("one")
    workers.send(1)
    assert workers.recovered("one", topics.ANCHORS, "disk") == 0
    assert workers.counted() == 4 * ANCHORS + 31
    workers.stop("one")
    rebuilt = contents(workers.state("one"))
    changed = {
        (place, key) for place, values in rebuilt.items() for key in values
        if kept[place].get(key) != values[key]
    }  # fmt: skip
    assert all(kept[place].keys() <= values.keys() for place, values in rebuilt.items())
    # Of the one touchpoint since: its anchor, its part and its customer's health.
    assert {place.rpartition("-")[0] for place, _ in changed} == {"anchors", "customers", "parts"}
    assert len(changed) == 3


def test_a_corrupt_store_and_one_of_another_cluster_are_read_anew(workers: Workers) -> None:
    workers.start("one")
    workers.send(ANCHORS)
    workers.stop("one")
    for n in range(PARTITIONS):
        (workers.state("one") / f"{topics.ANCHORS.name}-{n}" / "CURRENT").write_text("nonsense")
        store = DiskStore(workers.state("one") / f"{topics.PARTS.name}-{n}")
        assert store.checkpoint is not None
        from msgspec.structs import replace

        store.write({}, replace(store.checkpoint, incarnation="another cluster's"))
        store.close()
    workers.start("one")
    workers.send(ANCHORS)
    assert workers.recovered("one", topics.ANCHORS, "disk") == 0
    assert workers.recovered("one", topics.PARTS, "disk") == 0
    output = workers.parts["one"].output()
    assert f"state of {topics.ANCHORS.name} 0 is corrupt: read anew from the changelog" in output
    assert f"state of {topics.PARTS.name} 0 is of another cluster" in output
    assert workers.counted() == 2 * ANCHORS


def test_a_standby_takes_over_with_what_it_has_read(workers: Workers) -> None:
    workers.start("one", standby=True)
    workers.send(ANCHORS)
    workers.start("two", standby=True)

    workers.wait_until_follows("two")
    workers.send(ANCHORS)
    workers.wait_until_follows("two")
    before = {s: workers.recovered("two", topics.ANCHORS, s) for s in ("disk", "changelog")}
    workers.kill("one")
    workers.send(ANCHORS)
    found = {s: workers.recovered("two", topics.ANCHORS, s) for s in ("disk", "changelog")}
    assert found["disk"] - before["disk"] > ANCHORS // 3
    assert found["changelog"] - before["changelog"] <= ANCHORS // 10
    assert workers.counted() == 3 * ANCHORS


HERS = {"customer": "nasrin-7718", "cookie": "ck-nasrin-7718"}
STATE = {topics.ANCHORS, topics.LINKS, topics.MEMBERS, topics.PARTS, topics.CUSTOMERS}


def holding(folder: Path) -> set[str]:
    """Stores of a worker that have a byte of hers."""
    try:
        found = find(folder, [name.encode() for name in HERS.values()])
    except Unfinished:
        return {"a table is being written"}
    return {place.split("/")[0].rpartition("-")[0] for files in found.values() for place in files}


def test_an_erased_persons_bytes_leave_every_workers_disk_also_of_one_that_was_down(
    workers: Workers,
) -> None:
    workers.start("one", standby=True)
    workers.send(ANCHORS)
    workers.start("two", standby=True)
    names = [{"kind": kind, "value": value} for kind, value in HERS.items()]
    visit = {"occurred_at": "2025-03-01T08:00:00Z"}
    workers.publish(
        touchpoint(10**6, **visit, identifiers=names[1:]),
        touchpoint(10**6 + 1, **visit, identifiers=names),
    )
    for name in ("one", "two"):
        workers.wait_until_follows(name)
    expected = {topic.name for topic in STATE}
    for name in ("one", "two"):
        until(lambda name=name: holding(workers.state(name)) >= expected, f"{name} holds nothing")
    workers.stop("two")
    workers.erase(*(f"{kind}:{value}" for kind, value in HERS.items()))
    until(lambda: not holding(workers.state("one")), "one has bytes of hers", 60)
    assert holding(workers.state("two")) >= expected
    workers.start("two", standby=True)
    until(lambda: not holding(workers.state("two")), "two has bytes of hers", 60)
    workers.send(ANCHORS)
    assert workers.counted() == 2 * ANCHORS
    assert not holding(workers.folder / "state")
