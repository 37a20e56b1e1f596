"""A lane: bounded in memory and in what is under way; what is left in Kafka is not lost."""

from __future__ import annotations

from schemas.outcome import OutreachDecision
from sinks.dispatch.breaker import Breaker
from sinks.dispatch.lane import Lane, Pending

LATER = 10**13


def pending(number: int, expires_ms: int = LATER) -> Pending:
    decision = OutreachDecision(
        f"d{number}", "customer:1", "r", 1_000, True, "", 0, 0, "sms", expires_ms=expires_ms
    )
    return Pending(decision, offset=number)


def lane(concurrency: int = 2, capacity: int = 4) -> Lane:
    found = Lane("sms", Breaker(lambda _: 10.0, failures=2), concurrency, capacity)
    found.read(position=0, end=0)
    return found


def started(found: Lane, now: float = 0.0) -> list[int]:
    taken = []
    while (one := found.start(now)) is not None:
        taken.append(one.offset)
    return taken


def test_decisions_start_in_order_and_so_many_at_a_time() -> None:
    found = lane()
    for n in (2, 1, 3):
        found.offer(pending(n))
    assert started(found) == [1, 2]
    assert found.pause(0.0) is None
    found.finish(found.flying["d1"])
    assert started(found) == [3]


def test_nothing_starts_before_the_topic_was_read_to_its_end() -> None:
    found = Lane("sms", Breaker(lambda _: 1.0), 2)
    found.offer(pending(0))
    found.read(position=1, end=None)
    assert started(found) == []
    found.read(position=1, end=5)
    assert started(found) == []
    found.erase("d0")  # what came later removed it
    found.offer(pending(4))
    found.read(position=5, end=5)
    assert started(found) == [4]


def test_what_a_full_lane_leaves_is_read_again_once_half_of_it_is_free() -> None:
    found = lane(concurrency=4)
    assert [found.offer(pending(n)) for n in range(7)] == [True] * 4 + [False] * 3
    assert (found.backlog, found.left_at, found.first_offset()) == (4, 4, 0)
    assert found.read_again(7) is None
    for n in started(found):
        found.finish(found.flying[f"d{n}"])
    assert found.first_offset() == 4
    assert found.read_again(7) == 4
    assert found.left_at is None
    for n in (4, 5):
        assert found.offer(pending(n))
    found.read(position=6, end=9)
    assert started(found) == [], "what follows may remove it"
    assert found.offer(pending(6))
    found.read(position=7, end=9)
    assert started(found) == [4, 5, 6]


def test_an_offer_of_what_is_known_is_taken_as_done() -> None:
    found = lane()
    found.offer(pending(1))
    assert started(found) == [1]
    assert found.offer(pending(1))
    assert (found.backlog, started(found)) == (1, [])


def test_what_is_to_be_tried_again_waits_and_lets_others_pass() -> None:
    found = lane(concurrency=1)
    found.offer(pending(1))
    found.offer(pending(2))
    (one,) = started(found)
    found.again(found.flying["d1"], due=30.0)
    assert (one, started(found)) == (1, [2])
    found.finish(found.flying["d2"])
    assert found.pause(10.0) == 20.0
    assert started(found, 30.0) == [1]


def test_an_open_breaker_and_an_endpoint_that_asked_for_it_hold_all_back() -> None:
    found = lane()
    for n in range(3):
        found.offer(pending(n))
    found.rests_until = 5.0
    assert (started(found), found.pause(1.0)) == ([], 4.0)
    assert started(found, 5.0) == [0, 1]
    for n in range(2):
        found.breaker.failed(6.0)
        found.again(found.flying[f"d{n}"], due=0.0)
    assert found.pause(6.0) == 10.0
    assert len(started(found, 16.0)) == 1, "half-open lets one through"


def test_what_expired_is_taken_out_and_what_was_erased_is_forgotten() -> None:
    found = lane()
    found.offer(pending(1, expires_ms=50))
    found.offer(pending(2))
    found.offer(pending(3))
    assert [one.offset for one in found.take_expired(50)] == [1]
    assert not found.erase("d2")
    assert started(found) == [3]
    assert found.erase("d3")
    assert found.flying["d3"].erased
    found.finish(found.flying["d1"])
    found.finish(found.flying["d3"])
    assert (found.backlog, found.first_offset()) == (0, float("inf"))


def test_a_decision_that_does_not_say_when_it_expires_does_so_a_day_on() -> None:
    found = lane()
    found.offer(pending(1, expires_ms=0))
    assert found.take_expired(1_000 + 86_400_000 - 1) == []
    assert len(found.take_expired(1_000 + 86_400_000)) == 1
