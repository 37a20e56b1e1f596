"""The stack in life and death: starting, stopping, going on, and losing any of its parts."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack, StackError
from schemas.settings import load
from tests.integration.journey import answer, is_alive, journey, running, until, write_ndjson
from tests.servers import BROKER_FORGETS
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

AS_OF = "2025-03-22T00:00:00Z"
TOUCHPOINTS = 20_000


def visits(first: int, last: int) -> list[dict[str, Any]]:
    """Visits of five customers, each by a cookie, a device and an e-mail at times."""
    found = []
    for n in range(first, last):
        names = [{"kind": "cookie", "value": f"c-{n % 5}"}]
        if n % 3 == 0:
            names.append({"kind": "email", "value": f"person{n % 5}@example.com"})
        if n % 4 == 0:
            names = [{"kind": "device", "value": f"d-{n % 5}"}, *names[1:]]
        stamp = f"2025-03-{n % 20 + 1:02}T08:{n % 60:02}:00Z"
        text = "the parcel is late and nobody answers!" if n % 7 == 0 else None
        found.append(touchpoint(n, occurred_at=stamp, identifiers=names, text=text))
    return found


def customers(data: Path) -> str:
    """What is known of every customer, byte for byte."""
    done = journey(data, "customers", "--as-of", AS_OF, "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


def touchpoints(told: str) -> int:
    return sum(json.loads(line)["touchpoints"] for line in told.splitlines())


@pytest.mark.broker
def test_a_stack_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    old = write_ndjson(tmp_path / "old.ndjson", visits(0, 120))
    new = write_ndjson(tmp_path / "new.ndjson", visits(120, 150))
    last = write_ndjson(tmp_path / "last.ndjson", visits(150, 180))
    with running(data, "up") as stack:
        assert answer(data, "import", str(old), "--wait")["published"] == 120
        before = customers(data)
        assert touchpoints(before) == 120
        assert stack.end(signal.SIGTERM) == 0
    with running(data, "up") as stack:
        assert customers(data) == before
        assert answer(data, "import", str(old), "--wait")["published"] == 120
        assert customers(data) == before
        answer(data, "import", str(new), "--wait")
        after = customers(data)
        assert touchpoints(after) == 150
        assert answer(data, "status")["touchpoints"] == 150
        # The embedded broker forgets even when it is killed; the ledger does not.
        killed = stack.pids()
        stack.kill("broker")
        restarted = set(killed) if BROKER_FORGETS else {"broker"}
        until(lambda: _are_new(restarted, stack.pids(), killed), "the stack does not come back")
        until(lambda: journey(data, "status").returncode == 0, "the stack is not ready again")
        assert customers(data) == after
        answer(data, "import", str(last), "--wait")
        assert touchpoints(customers(data)) == 180
        assert stack.end(signal.SIGINT) == 0


def _are_new(names: set[str], pids: dict[str, int], killed: dict[str, int]) -> bool:
    return pids.keys() == killed.keys() and all(pids[name] != killed[name] for name in names)


@pytest.mark.broker
@pytest.mark.skipif(BROKER_FORGETS, reason="is about a broker that remembers")
def test_state_is_rebuilt_into_apache_kafka_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    embedded = load({}, data=data)
    old = write_ndjson(tmp_path / "old.ndjson", visits(0, 60))
    new = write_ndjson(tmp_path / "new.ndjson", visits(60, 90))
    first = Stack(embedded, workers=1, port_base=None, report=lambda *_: None)
    first.start(fresh=False)
    try:
        answer(data, "import", str(old), "--wait")
        before = customers(data)
    finally:
        first.stop()
    with running(data, "up") as stack:
        assert "rebuilding state" in stack.log.read_text()
        assert customers(data) == before
        answer(data, "import", str(new), "--wait")
        after = customers(data)
        assert touchpoints(after) == 90
        stack.process.kill()  # what is in Kafka stays there
    with pytest.raises(StackError, match=r"JOURNEY_KAFKA_JARS"):
        Stack(embedded, workers=1, port_base=None, report=lambda *_: None).start(fresh=False)
    with running(data, "up") as stack:
        assert stack.log.read_text().count("rebuilding state") == 1
        assert customers(data) == after
        answer(data, "import", str(old), "--wait")
        assert customers(data) == after
        assert stack.end(signal.SIGTERM) == 0
    (data / "kafka.filling").touch()  # as if the rebuild had been killed
    with running(data, "up") as stack:
        assert stack.log.read_text().count("rebuilding state") == 2
        assert customers(data) == after
        assert stack.end(signal.SIGTERM) == 0


@pytest.mark.broker
def test_a_supervisor_that_is_killed_leaves_no_orphan_and_a_second_one_is_refused(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with running(data, "up") as stack:
        second = journey(data, "up")
        assert second.returncode == 1
        assert "another stack runs on it" in _only_line(second.stderr)
        parts = stack.pids()
        assert set(parts) == {"broker", "clickhouse", "sink", "worker-1"}
        assert all(map(is_alive, parts.values()))
        stack.process.kill()
        until(lambda: not any(map(is_alive, parts.values())), "orphans")


@pytest.mark.broker
def test_ctrl_c_in_a_demonstration_ends_it_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "demo", "--once", "--data", str(data)) as stack:
        assert stack.end(signal.SIGINT) == 130
        assert "Traceback" not in stack.log.read_text()
    assert not (data / "stack.json").exists()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = journey(tmp_path / "data", "up", "--port-base", str(port))
    assert done.returncode == 1
    assert f"port {port} is taken" in _only_line(done.stderr)


@pytest.mark.parametrize("base", [0, 65_534])
def test_ports_that_do_not_exist_are_refused(tmp_path: Path, base: int) -> None:
    done = journey(tmp_path / "data", "up", "--port-base", str(base))
    assert done.returncode == 1
    assert "--port-base" in _only_line(done.stderr)


@pytest.mark.parametrize("verb", ["up", "demo"])
def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path, verb: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    done = journey(tmp_path, verb, "--data", str(folder))
    assert done.returncode == 1
    assert str(folder) in _only_line(done.stderr)


def test_a_demonstration_does_not_empty_a_ledger_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "identity.key").write_text("k")
    done = journey(tmp_path, "demo", "--once", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "another folder" in _only_line(done.stderr)


@pytest.mark.parametrize("verb", [["status"], ["customers"], ["funnel", "web:page_view"]])
def test_without_a_stack_a_verb_says_so_in_one_line(tmp_path: Path, verb: list[str]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        settings = {"kafka": f"127.0.0.1:{port}", "clickhouse": f"clickhouse://127.0.0.1:{port}/x"}
        (tmp_path / "stack.json").write_text(json.dumps({"settings": settings}))
        done = journey(tmp_path, *verb)
    assert done.returncode == 1
    assert "does not answer" in _only_line(done.stderr)


@pytest.mark.broker
@pytest.mark.parametrize("part", ["worker-1", "sink", "clickhouse"])
def test_a_demonstration_is_exact_where_a_part_is_killed(tmp_path: Path, part: str) -> None:
    data = tmp_path / "data"
    with running(data, *_demo(data)) as stack:
        until(lambda: stack.stored() > TOUCHPOINTS // 10, "nothing is stored")
        assert stack.stored() < TOUCHPOINTS // 2, "too late to be in the middle"
        stack.kill(part)
        _assert_exact(stack.process.communicate(timeout=240)[0], stack.process.returncode)
        assert f"{part} ended with -9, restarting" in stack.log.read_text()


@pytest.mark.broker
def test_a_demonstration_with_two_workers_is_exact(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, *_demo(data), "--workers", "2") as stack:
        assert {"worker-1", "worker-2"} <= stack.pids().keys()
        _assert_exact(stack.process.communicate(timeout=240)[0], stack.process.returncode)


def _demo(data: Path) -> list[str]:
    return ["demo", "--once", "--json", "--touchpoints", str(TOUCHPOINTS), "--data", str(data)]


def _assert_exact(printed: str, code: int) -> None:
    told = json.loads(printed)["touchpoints"]
    assert told["stored"] == told["counted"] == told["unique"]
    assert told["sent"] == TOUCHPOINTS
    assert told["sent"] > told["unique"] + told["dead_letters"]
    assert code == 0


def _only_line(errors: str) -> str:
    lines = errors.splitlines()
    assert len(lines) == 1, errors
    return lines[0]
