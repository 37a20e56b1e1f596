"""Broker and database away, in every way a proxy can show: waited for, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import producers.publisher as publisher_module
from producers.publisher import Publisher
from streams.cluster import SINK, administer
from tests.integration.pipeline import Pipeline, pipeline, until
from tests.servers import running_clickhouse

pytestmark = pytest.mark.integration


def test_parts_that_wait_for_a_broker_say_so_and_end_when_told(
    tmp_path: Path, clickhouse_url: str
) -> None:
    with pipeline(tmp_path, clickhouse_url) as pipe:
        pipe.broker.hang()
        pipe.start("worker", "sink")
        until(lambda: pipe.waits_for("worker", "kafka"), pipe.told)
        until(lambda: pipe.waits_for("sink", "kafka"), pipe.told)
        for name, part in pipe.parts.items():
            assert part.output().count("kafka is away, waiting for it") == 1
            pipe.signal(name, signal.SIGTERM)
        until(lambda: pipe.parts["worker"].returncode() == -signal.SIGTERM, pipe.told)
        until(lambda: pipe.parts["sink"].returncode() == 0, pipe.told)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory, clickhouse_port: int) -> Iterator[Pipeline]:
    """A pipeline that was started while its broker was away, shared: all it is sent adds up."""
    url = f"clickhouse://default@127.0.0.1:{clickhouse_port}/outages"
    with pipeline(tmp_path_factory.mktemp("pipe"), url, stuck_seconds=6) as found:
        found.broker.refuse()
        found.start("worker", "sink")
        until(lambda: found.waits_for("worker", "kafka"), found.told)
        until(lambda: found.waits_for("sink", "kafka"), found.told)
        found.broker.restore()
        until(lambda: found.is_ready("worker", "sink"), found.told)
        yield found


@pytest.fixture(autouse=True)
def _restored(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that fails leaves no outage to the next."""
    yield
    if "pipe" in request.fixturenames:
        pipe = request.getfixturevalue("pipe")
        pipe.broker.restore()
        pipe.database.restore()


def settled(pipe: Pipeline) -> None:
    """Everything arrived once, by the processes there were at the beginning."""
    pipe.broker.restore()
    pipe.database.restore()
    pipe.assert_exact()
    until(lambda: pipe.is_ready("worker", "sink"), pipe.told)
    assert pipe.never_ended(), pipe.told()


def committed(pipe: Pipeline) -> int:
    """Ledger rows that the sink's group will not read again."""
    with administer(pipe.settings) as admin:
        found = admin.list_group_offsets(SINK).get(SINK, {})
    return sum(max(0, at.offset) for tp, at in found.items() if tp.topic == "journeys")


def test_a_broker_that_refuses_in_the_middle_of_work_is_waited_for(pipe: Pipeline) -> None:
    pipe.send(4_000)
    pipe.broker.refuse()
    until(lambda: pipe.waits_for("worker", "kafka"), pipe.told)
    until(lambda: pipe.waits_for("sink", "kafka"), pipe.told)
    pipe.broker.restore()
    pipe.send(100)
    settled(pipe)


def test_a_broker_that_falls_silent_is_waited_for_and_dead_connections_are_left(
    pipe: Pipeline,
) -> None:
    pipe.send(4_000)
    pipe.broker.hang()
    until(lambda: pipe.waits_for("worker", "kafka"), pipe.told)
    pipe.broker.restore()
    pipe.send(100)
    settled(pipe)


def test_a_slow_broker_that_breaks_connections_is_worked_with(pipe: Pipeline) -> None:
    pipe.broker.delay(0.05)
    pipe.send(1_000)
    pipe.broker.cut_after(10_000)
    pipe.send(1_000)
    pipe.assert_exact()
    settled(pipe)


def test_an_import_waits_for_the_broker_in_bounded_memory_and_goes_on(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 256 * 1024
    monkeypatch.setattr(publisher_module, "MAX_PENDING_BYTES", limit)
    waited: list[float] = []

    def mend(seconds: float) -> None:
        waited.append(seconds)
        pipe.broker.restore()

    publisher = Publisher(pipe.settings, timeout=60, waiting=mend)
    pipe.publish(publisher, 10)
    publisher.flush()
    pipe.broker.hang()
    most = pipe.publish(publisher, 2_000)
    publisher.flush()
    publisher.close()
    assert waited
    assert most * 1_000 <= limit
    settled(pipe)


def test_a_database_that_refuses_is_waited_for_and_offsets_stay_where_rows_are(
    pipe: Pipeline,
) -> None:
    before = committed(pipe)
    pipe.database.refuse()
    pipe.send(3_000)
    until(lambda: pipe.waits_for("sink", "clickhouse"), pipe.told)
    until(lambda: pipe.metric("journey_touchpoints_total", "worker") >= before, pipe.told)
    assert pipe.is_ready("worker")
    assert committed(pipe) == before
    settled(pipe)
    assert pipe.metric("journey_outage", "sink", dependency="clickhouse") == 0


def test_a_database_that_never_answers_does_not_cost_the_sink_its_partitions(
    pipe: Pipeline,
) -> None:
    groups = pipe.parts["sink"].output().count("assigned")
    pipe.database.hang()
    pipe.send(500)
    until(lambda: pipe.waits_for("sink", "clickhouse"), pipe.told)
    settled(pipe)
    assert pipe.parts["sink"].output().count("assigned") == groups


def test_inserts_that_are_cut_in_the_middle_are_written_whole(pipe: Pipeline) -> None:
    before = pipe.metric("journey_insert_errors_total", "sink")
    pipe.database.cut_after(20_000)
    pipe.send(4_000)
    until(lambda: pipe.metric("journey_insert_errors_total", "sink") > before, pipe.told)
    settled(pipe)


def test_a_slow_database_is_worked_with(pipe: Pipeline) -> None:
    pipe.database.delay(0.1)
    pipe.send(500)
    pipe.assert_exact()
    settled(pipe)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_a_disk_that_is_full_is_waited_for(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
    try:
        with (
            running_clickhouse(disk) as port,
            pipeline(tmp_path, f"clickhouse://default@127.0.0.1:{port}/full") as pipe,
        ):
            pipe.start("worker", "sink")
            until(lambda: pipe.is_ready("worker", "sink"), pipe.told)
            pipe.send(100)
            pipe.assert_exact()
            ballast = disk / "ballast"
            with ballast.open("wb") as file:
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
                os.posix_fallocate(file.fileno(), 0, free)
            pipe.send(2_000)
            until(lambda: pipe.waits_for("sink", "clickhouse"), pipe.told)
            ballast.unlink()
            settled(pipe)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_worker_that_was_paused_while_another_took_over_does_not_undo_its_work(
    tmp_path: Path, clickhouse_url: str
) -> None:
    with pipeline(tmp_path, clickhouse_url) as pipe:
        pipe.start("worker-1", "sink")
        until(lambda: pipe.is_ready("worker-1", "sink"), pipe.told)
        pipe.send(6_000)
        until(lambda: pipe.metric("journey_touchpoints_total", "worker-1") > 0, pipe.told)
        pipe.signal("worker-1", signal.SIGSTOP)
        pipe.start("worker-2")
        pipe.send(2_000)
        pipe.assert_exact()
        pipe.signal("worker-1", signal.SIGCONT)
        pipe.send(2_000)
        pipe.assert_exact()
        pipe.parts["worker-1"].stop(5)
        pipe.parts["worker-2"].stop(0)
        pipe.start("worker-3")  # what it knows is what the changelogs say
        pipe.send(2_000)
        pipe.assert_exact()
