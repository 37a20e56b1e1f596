"""Differences and their intervals, against published examples and by simulation."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.effect import (
    SMALL,
    Group,
    compare,
    newcombe,
    student,
    student_quantile,
    welch,
    wilson,
)


def group(changes: list[float], left: int = 0) -> Group:
    found = Group()
    for n, change in enumerate(changes):
        found.add(change, n < left)
    return found


def counted(left: int, of: int) -> Group:
    return Group(customers=of, left=left)


# Tables of Student's t: two-sided 95 % and 99 %.
@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 10, 2.2281),
        (0.975, 30, 2.0423),
        (0.995, 5, 4.0321),
        (0.995, 120, 2.6174),
        (0.975, 1e9, 1.95996),
    ],
)
def test_quantiles_of_student(probability: float, freedom: float, quantile: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(quantile, abs=6e-5)


@given(st.floats(0.51, 0.9999), st.floats(1, 1e6))
def test_a_quantile_is_the_inverse_of_the_distribution(probability: float, freedom: float) -> None:
    found = student_quantile(probability, freedom)
    assert student(found, freedom) == pytest.approx(probability, abs=1e-9)


def test_welch_by_hand() -> None:
    # Means 20.82 and 22.98714, variances 7.893 and 3.809 of 15 and 15 (Welch's t −2.46, ν 25.0).
    a = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    b = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]
    found = welch(group(a), group(b))
    assert found.estimate == pytest.approx(-2.1667, abs=1e-4)
    error = (found.high - found.low) / 2 / student_quantile(0.975, 24.9885)
    assert found.estimate / error == pytest.approx(-2.4553, abs=1e-3)


# Newcombe (1998), table II, examples (a) to (h), method 10.
@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombes_own_examples(
    a: tuple[int, int], b: tuple[int, int], low: float, high: float
) -> None:
    found = newcombe(counted(*a), counted(*b))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_stays_within_zero_and_one() -> None:
    assert wilson(0, 20).low == 0
    assert wilson(20, 20).high == 1
    assert wilson(81, 263)[1:] == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance, held = Random(11), 0
    rounds = 1_000
    for _ in range(rounds):
        reached = group([chance.gauss(3, 10) for _ in range(60)])
        held_out = group([chance.gauss(1, 4) for _ in range(30)])
        found = compare(reached, held_out).health
        assert found is not None
        held += found.low <= 2 <= found.high
    assert 0.93 < held / rounds < 0.97


def test_small_groups_say_nothing() -> None:
    few, enough = group([1.0] * (SMALL - 1)), group([2.0] * SMALL, left=3)
    assert compare(few, enough).health is None
    assert compare(enough, few).left is None
    found = compare(enough, group([1.0] * SMALL))
    assert found.health == (1.0, 1.0, 1.0)
    assert found.left is not None
    assert found.left.estimate == pytest.approx(0.1)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=50))
def test_mean_and_variance_add_up(changes: list[float]) -> None:
    mean = sum(changes) / len(changes)
    found = group(changes)
    assert found.change == pytest.approx(mean, abs=1e-9)
    variance = sum((change - mean) ** 2 for change in changes) / (len(changes) - 1)
    assert found.variance == pytest.approx(variance, abs=1e-6)
