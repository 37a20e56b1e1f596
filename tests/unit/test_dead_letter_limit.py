"""The limit looks at every window of 1,000 records that ends in a rejection."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.dead_letter_limit import WINDOW, TooManyDeadLetters, Verdicts

# Runs of equal verdicts: about what a partition sees of a producer that broke.
RUNS = st.lists(
    st.tuples(st.sampled_from([None, None, "bad_time", "oversized"]), st.integers(1, 900)),
    max_size=8,
)


def over(record: list[str | None], limit: float) -> tuple[int, Counter[str]] | None:
    """The first window by counting each anew: where it ends, and its reasons."""
    for end in range(WINDOW, len(record) + 1):
        reasons = Counter(r for r in record[end - WINDOW : end] if r)
        if record[end - 1] and reasons.total() > limit * WINDOW:
            return end, reasons
    return None


@settings(deadline=None, max_examples=60)
@given(RUNS, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.integers(1, 700), st.integers(0, 2_000))
def test_chunks_and_restarts_make_no_difference(
    runs: list[tuple[str | None, int]], limit: float, chunk: int, restart: int
) -> None:
    record = [reason for reason, count in runs for _ in range(count)]
    expected = over(record, limit)
    verdicts, found = Verdicts(), None
    for start in range(0, len(record), chunk):
        if start >= restart:
            verdicts = Verdicts(record[max(0, start - WINDOW) : start])
        found = verdicts.take(record[start : start + chunk], limit)
        if found:
            assert expected is not None
            assert start < expected[0] <= start + chunk
            break
    assert found == (expected and expected[1])


def test_fewer_records_than_a_window_never_stop_a_worker() -> None:
    assert Verdicts().take(["malformed_json"] * (WINDOW - 1), 0.0) is None
    assert Verdicts().take(["malformed_json"] * WINDOW, 0.5) == {"malformed_json": WINDOW}


def test_records_accepted_after_a_burst_let_through_do_not_stop_it() -> None:
    verdicts = Verdicts()
    assert verdicts.take(["bad_time"] * WINDOW, 1.0) is None
    assert verdicts.share == 1.0
    assert verdicts.take([None] * WINDOW, 0.5) is None
    assert verdicts.share == 0.0


def test_one_line_names_the_counts_and_the_setting() -> None:
    reasons = Counter({"bad_time": 3, "malformed_json": 1200})
    with pytest.raises(TooManyDeadLetters) as stopped:
        raise TooManyDeadLetters("touchpoints", 2, reasons, 0.5)
    line = str(stopped.value)
    assert "\n" not in line
    assert "touchpoints partition 2: 1,203 of" in line
    assert "malformed_json 1,200, bad_time 3" in line
    assert "JOURNEY_DEAD_LETTER_LIMIT=0.5" in line
