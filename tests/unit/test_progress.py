from __future__ import annotations

from streams.core.progress import Lane, Progress

WAITS, IDLE = Lane(waiting=True, mark=7), Lane(waiting=False, mark=7)


def seen(*steps: tuple[float, Lane], stuck_seconds: float = 30) -> Progress:
    """A process whose one lane was looked at, at those times."""
    progress = Progress(stuck_seconds, now=0)
    for now, lane in steps:
        progress.observe({"touchpoints 0": lane}, {}, now)
    return progress


def test_a_process_whose_loop_stands_still_is_stuck() -> None:
    progress = seen((0, IDLE))
    assert progress.stuck(30) == {}
    assert progress.stuck(31) == {"event loop": "has not run for 31 s"}
    progress.observe({}, {}, 32)
    assert progress.stuck(33) == {}


def test_work_that_waits_and_does_not_move_is_stuck_after_the_time_and_not_ready_before() -> None:
    progress = seen((0, WAITS), (29, WAITS))
    assert progress.unready(10) == {}
    assert progress.unready(11) == {"touchpoints 0": "work waits and nothing has moved for 11 s"}
    assert progress.stuck(30) == {}
    assert progress.stuck(31) == {"touchpoints 0": "work waits and nothing has moved for 31 s"}


def test_what_moves_or_has_nothing_to_do_is_never_stuck() -> None:
    moving = seen(*((now, Lane(waiting=True, mark=now)) for now in range(100)))
    assert moving.stuck(100) == moving.unready(100) == {}
    idle = seen(*((now, IDLE) for now in range(100)))
    assert idle.stuck(100) == idle.unready(100) == {}
    assert seen((0, IDLE)).unready(20) == {}


def test_the_time_counts_from_when_work_began_to_wait() -> None:
    progress = seen((0, IDLE), (50, IDLE), (51, WAITS), (80, WAITS))
    assert progress.stuck(80) == {}
    assert progress.stuck(82) == {"touchpoints 0": "work waits and nothing has moved for 31 s"}


def test_one_lane_that_stands_still_is_seen_among_others_that_move() -> None:
    progress = Progress(30, now=0)
    for now in range(40):
        progress.observe({"a": WAITS, "b": Lane(waiting=True, mark=now)}, {}, now)
    assert set(progress.stuck(40)) == {"a"}


def test_a_lane_that_another_process_took_over_is_forgotten() -> None:
    progress = seen((0, WAITS))
    progress.observe({}, {}, 20)
    progress.observe({"touchpoints 0": WAITS}, {}, 25)
    assert progress.stuck(50) == {}


def test_while_a_dependency_is_away_nothing_is_stuck_and_the_process_is_not_ready() -> None:
    progress = seen((0, WAITS), (100, WAITS))
    assert progress.away("clickhouse", "refused", 5)
    assert not progress.away("clickhouse", "refused again", 6)
    assert progress.stuck(101) == {}
    assert progress.unready(101) == {"clickhouse": "away for 96 s: refused again"}


def test_after_an_outage_the_time_counts_from_its_end() -> None:
    progress = seen((0, WAITS), (100, WAITS))
    progress.away("kafka", "refused", 5)
    assert progress.back("kafka", 100) == 95
    assert progress.back("kafka", 100) is None
    assert progress.stuck(130) == {}
    progress.observe({"touchpoints 0": WAITS}, {}, 130)
    assert set(progress.stuck(131)) == {"touchpoints 0"}


def test_an_outage_does_not_hide_a_loop_that_stands_still() -> None:
    progress = seen((0, WAITS))
    progress.away("kafka", "refused", 5)
    assert set(progress.stuck(31)) == {"event loop"}


def test_a_process_that_starts_is_live_and_not_ready() -> None:
    progress = Progress(30, now=0)
    assert progress.stuck(1) == {}
    assert progress.unready(1) == {"process": "starts"}
    progress.observe({}, {"group": "has not given partitions yet"}, 2)
    assert progress.unready(3) == {"group": "has not given partitions yet"}
