"""Quiet hours by the wall clock of the customer, also on the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.quiet import NEVER, Quiet, day_of, zone_of

NIGHT = Quiet(time(21), time(9))
FRIDAY = 4
ZONES = ("Asia/Tehran", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC")
quiets = st.builds(
    Quiet,
    st.times(min_value=time(0)).map(lambda at: at.replace(second=0, microsecond=0)),
    st.times(min_value=time(0)).map(lambda at: at.replace(second=0, microsecond=0)),
    st.frozensets(st.integers(0, 6), max_size=6),
)
zones = st.sampled_from(ZONES)
# Two years, in which Berlin, St John's and Lord Howe change their clocks four times.
moments = st.integers(1_767_225_600, 1_830_297_600).map(lambda second: second * 1000)


def ms(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


def wall(at_ms: int, zone: str) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone)):%a %Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("clock", "quiet"),
    [("08:59", True), ("09:00", False), ("20:59", False), ("21:00", True), ("00:00", True)],
)
def test_a_night_is_quiet_from_its_start_up_to_its_end(clock: str, quiet: bool) -> None:
    at = ms(f"2026-11-22 {clock}", "Asia/Tehran")
    assert NIGHT.covers(at, ZoneInfo("Asia/Tehran")) == quiet
    assert not NEVER.covers(at, ZoneInfo("Asia/Tehran"))


def test_the_same_moment_is_night_in_one_zone_and_day_in_another() -> None:
    at = ms("2026-11-22 10:00", "Asia/Tehran")
    assert not NIGHT.covers(at, ZoneInfo("Asia/Tehran"))
    assert NIGHT.covers(at, ZoneInfo("America/New_York"))


def test_quiet_before_a_quiet_day_ends_the_morning_after_it() -> None:
    quiet = Quiet(time(21), time(9), frozenset({FRIDAY}))
    zone = ZoneInfo("Asia/Tehran")
    opened = quiet.opens(ms("2026-11-26 22:00", "Asia/Tehran"), zone)
    assert wall(opened, "Asia/Tehran") == "Sat 2026-11-28 09:00"
    closed = Quiet(days=frozenset({FRIDAY})).closes(ms("2026-11-26 22:00", "Asia/Tehran"), zone)
    assert wall(closed, "Asia/Tehran") == "Fri 2026-11-27 00:00"


@pytest.mark.parametrize(
    ("asked", "opened"),
    [
        # 02:00 becomes 03:00: 02:30 never comes.
        ("2026-03-29 01:00", "Sun 2026-03-29 03:00"),
        # 03:00 becomes 02:00: 02:30 comes twice, and it is quiet again in between.
        ("2026-10-25 01:00", "Sun 2026-10-25 02:30"),
    ],
)
def test_quiet_ends_at_a_time_that_is_skipped_or_comes_twice(asked: str, opened: str) -> None:
    quiet, zone = Quiet(time(22), time(2, 30)), ZoneInfo("Europe/Berlin")
    found = quiet.opens(ms(asked, "Europe/Berlin"), zone)
    assert wall(found, "Europe/Berlin") == opened
    assert not quiet.covers(found, zone)


def test_quiet_that_came_twice_ends_twice() -> None:
    quiet, zone = Quiet(time(22), time(2, 30)), ZoneInfo("Europe/Berlin")
    again = ms("2026-10-25 01:00", "Europe/Berlin") + 130 * 60_000  # 02:10 for the second time
    assert quiet.opens(again, zone) - again == 20 * 60_000


def test_what_opened_closes_again_where_the_clock_is_put_back() -> None:
    quiet, zone = Quiet(time(22), time(2, 30)), ZoneInfo("Europe/Berlin")
    opened = quiet.opens(ms("2026-10-25 01:00", "Europe/Berlin"), zone)
    assert quiet.closes(opened, zone) - opened == 30 * 60_000


@given(quiets, zones, moments)
def test_opens_is_the_first_moment_that_is_not_quiet(quiet: Quiet, name: str, at: int) -> None:
    zone = ZoneInfo(name)
    opened = quiet.opens(at, zone)
    assert not quiet.covers(opened, zone)
    assert opened >= at
    step = max(1, (opened - at) // 200 // 1000) * 1000
    assert all(quiet.covers(moment, zone) for moment in range(at, opened, step))
    if opened > at:
        assert quiet.covers(opened - 1000, zone)


@given(quiets, zones, moments)
def test_until_closes_nothing_is_quiet(quiet: Quiet, name: str, at: int) -> None:
    zone = ZoneInfo(name)
    closed = quiet.closes(at, zone)
    assert at <= closed <= at + 86_400_000
    step = max(1, (closed - at) // 200 // 1000) * 1000
    assert not any(quiet.covers(moment, zone) for moment in range(at, closed, step))
    assert quiet.covers(closed, zone) or closed == at + 86_400_000


@pytest.mark.parametrize("name", ["", "Nowhere/City", "../etc/passwd", "/etc/passwd", "Europe"])
def test_a_zone_that_is_none_is_the_default(name: str) -> None:
    assert zone_of(name, "Asia/Tehran") == ZoneInfo("Asia/Tehran")
    assert zone_of("Europe/Berlin", "Asia/Tehran") == ZoneInfo("Europe/Berlin")


def test_a_day_is_the_zones() -> None:
    at = ms("2026-11-22 02:00", "Asia/Tehran")
    assert day_of(at, ZoneInfo("Asia/Tehran")) == day_of(at, UTC) + 1
