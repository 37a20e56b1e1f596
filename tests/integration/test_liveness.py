"""/live and /ready mean progress, and who does not make any is started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from deploy.local.stack import Stack
from producers.publisher import Publisher, prepare
from schemas.settings import Settings, load
from sinks.clickhouse import connect
from streams.probes import Probes
from tests.integration.journey import answer, journey
from tests.integration.pipeline import pipeline, until
from tests.wire import touchpoint

pytestmark = [pytest.mark.integration]

STUCK_SECONDS = 6.0


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    environ = {n: v for n, v in os.environ.items() if n == "JOURNEY_KAFKA_JARS"}
    settings = load(
        environ | {"JOURNEY_STUCK_SECONDS": str(STUCK_SECONDS)}, data=tmp_path_factory.mktemp("w")
    )
    stack = Stack(settings, workers=2, port_base=None, report=lambda *_: None)
    stack.start(fresh=False)
    try:
        yield stack
    finally:
        stack.stop(drain=False)


def send(settings: Settings, first: int, last: int) -> None:
    with Publisher(settings) as publisher:
        for n in range(first, last):
            given = touchpoint(
                n,
                occurred_at="2025-03-01T08:00:00Z",
                identifiers=[{"kind": "cookie", "value": f"c-{n % 20}"}],
            )
            anchor, wire = prepare(given, b"k", "IR")
            publisher.publish(wire, anchor)


def stored_and_counted(settings: Settings) -> tuple[int, int]:
    client = connect(settings.clickhouse.get_secret_value())
    try:
        [(stored,)] = client.execute("SELECT count() FROM touchpoints FINAL")
        [(counted,)] = client.execute("SELECT sum(n) FROM parts FINAL")
        return stored, counted
    finally:
        client.disconnect()


def test_stopped_processes_are_replaced_within_a_minute_and_nothing_is_lost_or_doubled(
    watched: Stack,
) -> None:
    settings = watched.settings
    until(lambda: journey(settings.data, "status").returncode == 0, lambda: "never ready", 60)
    told = answer(settings.data, "status")["processes"]
    assert {(name, one["live"], one["ready"]) for name, one in told.items()} == {
        (name, True, True) for name in ("broker", "clickhouse", "sink", "worker-1", "worker-2")
    }
    send(settings, 0, 3_000)
    frozen = {name: told[name]["pid"] for name in ("sink", "worker-1")}
    for pid in frozen.values():
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    send(settings, 3_000, 4_000)
    seen = json.loads(journey(settings.data, "status", "--json").stdout)
    assert not seen["ready"]
    assert seen["processes"]["sink"]["why"] == "does not answer"

    def replaced() -> bool:
        watched.watch()
        found = json.loads((settings.data / "stack.json").read_text())
        return all(
            found["processes"][name] != pid and found["restarts"][name] == {"restarts": 1}
            for name, pid in frozen.items()
        )

    until(replaced, lambda: str(frozen), 60)
    assert time.monotonic() - began < 60

    def whole() -> bool:
        watched.watch()
        return stored_and_counted(settings) == (4_000, 4_000)

    until(whole, lambda: str(stored_and_counted(settings)), 60)
    until(lambda: journey(settings.data, "status").returncode == 0, lambda: "not ready", 30)
    again = answer(settings.data, "status")["processes"]
    assert {name: one["restarts"] for name, one in again.items()} == {
        "broker": 0, "clickhouse": 0, "worker-2": 0, "sink": 1, "worker-1": 1
    }  # fmt: skip


def test_a_sink_that_keeps_dying_waits_longer_and_its_last_line_is_shown(watched: Stack) -> None:
    settings = watched.settings
    client = connect(settings.clickhouse.get_secret_value())
    client.execute("ALTER TABLE touchpoints DROP COLUMN stage")
    send(settings, 4_000, 4_010)
    drift = "touchpoints.stage does not exist: run `journey setup`, or undo the change"

    def restarts() -> dict[str, Any]:
        watched.watch()
        recorded = json.loads((settings.data / "stack.json").read_text())
        return cast(dict[str, Any], recorded["restarts"]["sink"])

    before = restarts()["restarts"]
    until(
        lambda: restarts()["restarts"] > before and drift in restarts().get("why", ""),
        lambda: f"the sink does not die again: {restarts()}",
        40,
    )
    done = journey(settings.data, "status", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["processes"]["sink"]["why"] == f"ended: sink: {drift}"
    assert told["processes"]["worker-1"]["ready"]
    shown = journey(settings.data, "status").stdout
    assert drift in shown
    client.execute("ALTER TABLE touchpoints ADD COLUMN stage LowCardinality(String)")

    def whole() -> bool:
        watched.watch()
        return stored_and_counted(settings) == (4_010, 4_010)

    until(whole, lambda: str(stored_and_counted(settings)), 60)


def test_a_sink_whose_insert_hangs_unknown_to_it_is_not_live(
    tmp_path: Path, clickhouse_url: str
) -> None:
    patient = f"{clickhouse_url}?send_receive_timeout=600&sync_request_timeout=600"
    with pipeline(tmp_path, patient, stuck_seconds=4) as pipe:
        pipe.start("worker", "sink")
        until(lambda: pipe.is_ready("worker", "sink"), pipe.told, 30)
        pipe.send(10)
        pipe.assert_exact()
        pipe.database.hang()
        pipe.send(10)
        until(lambda: pipe.probe("sink", "live")[0] == 503, pipe.told, 20)
        assert set(pipe.probe("sink", "live")[1]["why"]) == {"writer"}
        assert pipe.probe("worker", "live")[0] == 200
        pipe.database.restore()  # for connections that are made from now on
        pipe.parts["sink"].stop(0)
        pipe.start("sink")
        pipe.assert_exact()


def test_a_loop_that_is_blocked_is_seen_from_outside() -> None:
    probes = Probes(stuck_seconds=1.5)
    address = probes.serve(Settings(metrics_port=0))
    blocked, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        watching = asyncio.create_task(probes.observe(lambda: ({}, {})))
        await asyncio.sleep(0)
        blocked.set()
        await asyncio.sleep(0)
        go_on.wait(20)
        await asyncio.sleep(0.1)
        watching.cancel()

    def live() -> int:
        try:
            with urlopen(f"http://{address}/live", timeout=2) as told:
                return int(told.status)
        except HTTPError as error:
            told = json.load(error)["why"].keys()
            assert told == {"event loop"}
            return error.code

    loop = threading.Thread(target=lambda: asyncio.run(block()))
    loop.start()
    assert blocked.wait(5)
    assert live() == 200
    until(lambda: live() == 503, lambda: "a blocked loop is called live", 10)
    go_on.set()
    loop.join()
    with urlopen(f"http://{address}/metrics", timeout=2) as page:
        assert b"journey_outage" in page.read()
