"""A customer's state is an order-free sum: of touchpoints in a part, of parts in a customer."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.outcome import JourneyStep
from schemas.state import AnchorState, Part, PartUpdate
from streams.core.journey import CustomerState, apply, unite
from streams.core.resolve import count
from tests.agents.facts import several, step
from tests.agents.history import written

Sent = list[dict[str, Any]]


def part_of(steps: list[JourneyStep]) -> Part:
    part = Part()
    for row in steps:
        apply(part, row)
    return part


@settings(max_examples=100, deadline=None)
@given(several(8), st.data())
def test_touchpoints_count_the_same_in_any_order(sent: Sent, data: st.DataObject) -> None:
    steps = [step(touchpoint) for touchpoint in sent]
    assert written(part_of(steps)) == written(part_of(data.draw(st.permutations(steps))))


@settings(max_examples=100, deadline=None)
@given(several(8), st.integers(0, 8), st.integers(0, 8))
def test_parts_unite_to_the_same_whole_however_touchpoints_are_split(
    sent: Sent, first: int, second: int
) -> None:
    steps = [step(touchpoint) for touchpoint in sent]
    first, second = sorted((first, second))
    one, other, third = (part_of(s) for s in (steps[:first], steps[first:second], steps[second:]))
    whole = written(part_of(steps))
    assert written(unite([one, other, third])) == whole
    assert written(unite([third, one, other])) == whole
    assert written(unite([unite([one, other]), third])) == whole
    assert written(unite([one, unite([other, third]), Part()])) == whole


@settings(max_examples=50, deadline=None)
@given(several(8), st.integers(0, 8))
def test_uniting_leaves_the_parts_as_they_were(sent: Sent, cut: int) -> None:
    steps = [step(touchpoint) for touchpoint in sent]
    parts = [part_of(steps[:cut]), part_of(steps[cut:])]
    before = [written(part) for part in parts]
    total = unite(parts)
    for row in steps:
        apply(total, row)
    assert [written(part) for part in parts] == before


@settings(max_examples=100, deadline=None)
@given(several(8), st.data())
def test_a_replay_and_a_producer_that_sends_twice_change_nothing(
    sent: Sent, data: st.DataObject
) -> None:
    steps = [step(touchpoint) for touchpoint in sent]
    log = data.draw(st.permutations(steps + steps[: len(steps) // 2]))
    state = AnchorState()
    offset = 0
    while offset < len(log):
        count(state, log[offset], offset)
        offset += 1
        if data.draw(st.integers(0, 3)) == 0:  # a crash: some of the log is read again
            back = data.draw(st.integers(0, offset))
            for again in range(back, offset):
                assert not count(state, log[again], again)
    assert written(state.part) == written(part_of(steps))


updates = st.builds(
    lambda anchor, epoch, n: PartUpdate(
        anchor, "customer:a", epoch, n, None if (epoch + n) % 3 == 0 else Part(n=n)
    ),
    st.sampled_from(["cookie:x", "cookie:y"]),
    st.integers(0, 3),
    st.integers(0, 3),
)


@given(st.lists(updates, max_size=10), st.data())
def test_a_customer_keeps_each_anchors_newest_part_in_whatever_order_they_come(
    sent: list[PartUpdate], data: st.DataObject
) -> None:
    one, other = CustomerState(), CustomerState()
    for update in sent:
        one.take(update)
    for update in data.draw(st.permutations(sent + sent)):
        other.take(update)
    newest = {u.anchor: u for u in sorted(sent, key=lambda u: (u.epoch, u.n))}
    assert one.members == other.members == newest
    assert sorted(p.n for p in one.parts()) == sorted(u.n for u in newest.values() if u.part)
