"""`journey demo --once --json`: its exit code and the shape other tools rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.journey import journey

pytestmark = [pytest.mark.integration, pytest.mark.broker]


def test_a_demonstration_tells_what_came_of_it(tmp_path: Path) -> None:
    done = journey(tmp_path, "demo", "--once", "--json", "--touchpoints", "5000")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    counts = told["touchpoints"]
    assert counts["sent"] == 5_000
    assert counts["stored"] == counts["unique"] < 5_000
    assert counts["sent"] == counts["unique"] + counts["duplicates"] + counts["dead_letters"]
    assert counts["duplicates"] > 0
    assert counts["dead_letters"] > 0

    assert 100 < told["customers"] <= 1_500 * 16
    assert told["seconds"] > 0
    assert told["touchpoints_per_second"] == pytest.approx(5_000 / told["seconds"], rel=0.02)
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]

    reached = [step["customers"] for step in told["funnel"]]
    assert [set(step) for step in told["funnel"]] == [{"step", "customers"}] * 4
    assert reached == sorted(reached, reverse=True)
    assert reached[0] > 0

    assert told["least_healthy"]
    healths = [one["health"] for one in told["least_healthy"]]
    assert healths == sorted(healths)
    assert all(one["customer"] and one["reasons"] for one in told["least_healthy"])
    assert all(isinstance(n, int) for n in told["outreach"].values())

    # It leaves nothing behind to be mistaken for a running stack.
    assert not (tmp_path / "demo" / "stack.json").exists()
