from datetime import UTC, datetime, timedelta
from uuid import UUID

from analytics.timeline import Moment, sessions

START = datetime(2026, 11, 22, 8, tzinfo=UTC)


def moment(minutes: float) -> Moment:
    at = START + timedelta(minutes=minutes)
    return Moment(at, UUID(int=0), "a", "web", "t", "", "", "", "", 0, 0, {}, 0, "", "{}")


def test_a_session_ends_where_more_than_the_gap_passes() -> None:
    moments = [moment(m) for m in (0, 30, 60, 90.01, 200)]
    found = sessions(moments)
    assert [len(s.moments) for s in found] == [3, 1, 1]
    assert (found[0].started, found[0].ended) == (START, START + timedelta(hours=1))
    assert [m for s in found for m in s.moments] == moments


def test_nothing_has_no_sessions() -> None:
    assert sessions([]) == []


def test_the_gap_can_be_chosen() -> None:
    assert len(sessions([moment(0), moment(2)], timedelta(minutes=1))) == 2
