"""The circuit breaker: when it opens, what it lets through, and how its pauses grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sinks.dispatch.breaker import Breaker, State


def breaker() -> Breaker:
    return Breaker(pause=lambda nth: 10.0 * 2**nth, failures=3)


def fail(found: Breaker, now: float, times: int = 1) -> None:
    for _ in range(times):
        found.begin()
        found.failed(now)


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    found = breaker()
    fail(found, 0.0, 2)
    assert (found.state(0.0), found.wait(0.0)) == (State.CLOSED, 0.0)
    found.succeeded()
    fail(found, 1.0, 2)
    assert found.state(1.0) is State.CLOSED
    fail(found, 2.0)
    assert (found.state(2.0), found.wait(2.0), found.wait(7.0)) == (State.OPEN, 10.0, 5.0)


def test_half_open_lets_one_attempt_through_that_decides() -> None:
    found = breaker()
    fail(found, 0.0, 3)
    assert (found.state(10.0), found.wait(10.0)) == (State.HALF_OPEN, 0.0)
    found.begin()
    assert found.wait(11.0) is None
    found.failed(12.0)
    assert (found.state(12.0), found.wait(12.0)) == (State.OPEN, 20.0)
    found.begin()
    found.succeeded()
    assert (found.state(32.0), found.wait(32.0)) == (State.CLOSED, 0.0)
    fail(found, 33.0, 3)
    assert found.wait(33.0) == 10.0, "pauses begin with the shortest again"


def test_attempts_begun_before_it_opened_do_not_make_the_pause_longer() -> None:
    found = breaker()
    for _ in range(8):
        found.begin()
    for _ in range(8):
        found.failed(0.0)
    assert found.wait(0.0) == 10.0


def test_an_attempt_abandoned_frees_the_place_for_another() -> None:
    found = breaker()
    fail(found, 0.0, 3)
    found.begin()
    assert found.wait(10.0) is None
    found.abandoned()
    assert found.wait(10.0) == 0.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 50)), max_size=60))
def test_whatever_comes_it_never_stays_shut(script: list[tuple[bool, float]]) -> None:
    found, now, waited = breaker(), 0.0, 0
    for succeeds, later in script:
        now += later
        pause = found.wait(now)
        assert pause is not None, "no attempt is under way, so one may begin some time"
        now += pause
        waited += pause > 0
        assert found.wait(now) == 0.0
        found.begin()
        if succeeds:
            found.succeeded()
        else:
            found.failed(now)
    assert found.state(now + 1e30) is not State.OPEN
