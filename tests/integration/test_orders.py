"""The same touchpoints in any order, over any number of workers, leave the same customers."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from producers.publisher import prepare
from producers.simulator.stream import simulate
from schemas.decode import Rejection, decode
from schemas.outcome import JourneyStep
from schemas.settings import KEY_FILE
from streams.core.resolve import step_of
from tests import oracle
from tests.integration.journey import COMMAND, journey, running, until, write_ndjson

pytestmark = pytest.mark.integration

TOUCHPOINTS: Final = 8_000
CUSTOMERS: Final = 400
UNTIL: Final = datetime(2026, 6, 1, tzinfo=UTC)
KEY: Final = "the identity key of every stack here"
Touchpoints = list[dict[str, Any]]


def simulated(count: int, customers: int) -> Touchpoints:
    """Valid touchpoints, each once, by the time they happened."""
    records = simulate(count + count // 50, customers, seed=1, until=UNTIL)
    valid = (r.touchpoint for r in records if r.kind == "valid" and r.touchpoint is not None)
    found = list(islice(valid, count))
    assert len({t["event_id"] for t in found}) == count
    return sorted(found, key=lambda t: (datetime.fromisoformat(t["occurred_at"]), t["event_id"]))


def shuffled(touchpoints: Touchpoints) -> Touchpoints:
    return Random(7).sample(touchpoints, len(touchpoints))


ORDERS: Final[dict[str, Callable[[Touchpoints], Touchpoints]]] = {
    "sorted": list,
    "reversed": lambda touchpoints: touchpoints[::-1],
    "shuffled": shuffled,
    "twice over": lambda touchpoints: touchpoints + shuffled(touchpoints),
}


def told_by_a_fresh_stack(
    folder: Path, order: Touchpoints, workers: int = 1, kill: str = ""
) -> str:
    """What `journey customers` prints after an import, one part of the stack killed meanwhile."""
    file = write_ndjson(folder.with_suffix(".ndjson"), order)
    folder.mkdir()
    (folder / KEY_FILE).write_text(KEY)
    with running(folder, "up", "--workers", str(workers)) as stack:
        importing = [COMMAND, "--data", str(folder), "import", str(file), "--wait"]
        with subprocess.Popen(importing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as sent:
            if kill:
                until(lambda: stack.stored() > 0, "nothing is stored")
                assert stack.stored() < len(order), "too late to be in the middle"
                stack.kill(kill)
            said, _ = sent.communicate(timeout=280)
            assert sent.returncode == 0, said
        told = journey(folder, "customers", "--as-of", UNTIL.isoformat(), "--json")
        assert told.returncode == 0, told.stderr
        drift = journey(folder, "reconcile")
        assert drift.returncode == 0, drift.stdout + drift.stderr
        assert stack.end(signal.SIGTERM) == 0
    return told.stdout


@pytest.fixture(scope="module")
def touchpoints() -> Touchpoints:
    return simulated(TOUCHPOINTS, CUSTOMERS)


@pytest.fixture(scope="module")
def expected(touchpoints: Touchpoints, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the touchpoints in order of time leave behind one worker."""
    return told_by_a_fresh_stack(tmp_path_factory.mktemp("orders") / "sorted", touchpoints)


def test_what_is_told_is_what_the_oracle_says(touchpoints: Touchpoints, expected: str) -> None:
    customers = [json.loads(line) for line in expected.splitlines()]
    steps = [step_by_the_contract(touchpoint) for touchpoint in touchpoints]
    truth = oracle.identities(oracle.links_of(steps)).customers
    of = {name: one["customer"] for one in customers for name in one["identifiers"]}
    assert of == {name: truth.get(name, name) for name in of}
    states = oracle.states(steps, truth)
    assert {one["customer"]: one["touchpoints"] for one in customers} == {
        customer: state.n for customer, state in states.items()
    }


def step_by_the_contract(touchpoint: dict[str, Any]) -> JourneyStep:
    _, wire = prepare(touchpoint, KEY.encode(), "IR")
    decoded = decode(wire, UNTIL)
    assert not isinstance(decoded, Rejection), decoded
    return step_of(decoded, 0, KEY.encode(), "IR")


@pytest.mark.parametrize("order", ["reversed", "shuffled", "twice over"])
def test_any_order_leaves_the_same_bytes(
    touchpoints: Touchpoints, expected: str, order: str, tmp_path: Path
) -> None:
    assert told_by_a_fresh_stack(tmp_path / "stack", ORDERS[order](touchpoints)) == expected


def test_two_workers_leave_the_same_bytes(
    touchpoints: Touchpoints, expected: str, tmp_path: Path
) -> None:
    order = shuffled(touchpoints)
    assert told_by_a_fresh_stack(tmp_path / "stack", order, workers=2) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_killed_in_the_middle_leaves_the_same_bytes(
    touchpoints: Touchpoints, expected: str, workers: int, tmp_path: Path
) -> None:
    order = shuffled(touchpoints)
    told = told_by_a_fresh_stack(tmp_path / "stack", order, workers, kill="worker-1")
    assert told == expected
