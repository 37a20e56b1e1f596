from __future__ import annotations

import pytest

from deploy.local.supervision import Restarts
from streams.retry import backoff


def pauses(ends: list[float]) -> list[float]:
    """The pauses of a part that ends at those times and starts as soon as it is due."""
    restarts, found = Restarts(), []
    restarts.started("sink", 0)
    for now in ends:
        pause = restarts.ended("sink", "no such column", now)
        assert pause is not None
        found.append(pause)
        restarts.started("sink", now + pause)
    return found


@pytest.mark.parametrize("attempt", range(12))
def test_a_pause_is_drawn_from_nothing_to_a_bound_that_doubles(attempt: int) -> None:
    drawn = [backoff(attempt) for _ in range(2_000)]
    bound = min(10, 0.2 * 2**attempt)
    assert 0 <= min(drawn) < 0.1 * bound
    assert 0.9 * bound < max(drawn) <= bound


def test_a_part_that_keeps_dying_waits_longer_and_longer() -> None:
    many = [pauses([40.0 * n for n in range(1, 9)]) for _ in range(200)]
    longest = [max(column) for column in zip(*many, strict=True)]
    assert longest[0] <= 1.5
    assert 20 < longest[-1] <= 30.5
    assert min(map(min, many)) >= 0.5


def test_a_minute_of_health_brings_the_short_pauses_back() -> None:
    ends = [1.0 * n * 40 for n in range(1, 8)]
    assert all(pauses([*ends, ends[-1] + 100])[-1] <= 1.5 for _ in range(50))


def test_a_part_that_is_down_is_told_with_its_last_line_until_it_is_started() -> None:
    restarts = Restarts()
    restarts.started("sink", 0)
    assert restarts.told(1) == {"sink": {"restarts": 0}}
    pause = restarts.ended("sink", "no such column", 1)
    assert pause is not None
    assert restarts.ended("sink", "no such column", 1.1) is None
    due = pytest.approx(pause)
    assert restarts.told(1) == {"sink": {"restarts": 0, "why": "no such column", "in": due}}
    assert not restarts.is_due("sink", 1 + pause - 0.01)
    assert restarts.is_due("sink", 1 + pause)
    restarts.started("sink", 3)
    assert restarts.told(3) == {"sink": {"restarts": 1}}
