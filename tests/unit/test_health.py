from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.outcome import JourneyStep
from schemas.state import Part
from streams.core.components import NEUTRAL
from streams.core.health import Health, change, changes, score
from streams.core.journey import apply, unite
from streams.core.policy import WEIGHTS, Policy
from streams.core.stitch import counted
from tests.unit.health_steps import at, end_of, health_on, part_of, step

LAST_DAY = 120
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("web:page_view", {}),
    ("web:rage_click", {}),
    ("app:error", {}),
    ("call_center:call", {"wait_seconds": 600, "transfers": 2, "resolved": False}),
    ("call_center:call", {"wait_seconds": 30, "resolved": True}),
    ("call_center:callback_promised", {}),
    ("call_center:callback_made", {}),
    ("chat:message", {"direction": "inbound", "text": "still broken", "mood": -600}),
    ("chat:message", {"direction": "outbound", "text": "so sorry", "mood": 500}),
    ("chat:closed", {"resolved": False}),
    ("survey:answered", {"survey": "nps", "answer": 9, "text": "horrid", "mood": -800}),
    ("survey:answered", {"survey": "csat", "answer": 2}),
    ("store:visit", {"rating": 5}),
    ("order:placed", {"order": "A", "promised_at": 40, "amount": 900}),
    ("order:placed", {"order": "B", "promised_at": 70.5, "amount": 100}),
    ("order:delivered", {"order": "A"}),
    ("order:cancelled", {"order": "B", "amount": 100}),
    ("order:returned", {"order": "A"}),
)
told = st.lists(
    st.tuples(st.floats(0, LAST_DAY - 1, allow_nan=False), st.sampled_from(KINDS)),
    min_size=1,
    max_size=25,
).map(lambda drawn: [step(day, kind, **fields) for day, (kind, fields) in drawn])


@given(told, st.randoms(use_true_random=False), st.integers(0, 2 * LAST_DAY))
@settings(max_examples=60, deadline=None)
def test_any_order_in_any_parts_gives_the_same_health_to_the_last_bit(
    steps: list[JourneyStep], rng: Random, day: int
) -> None:
    shuffled = rng.sample(steps, len(steps))
    parts = [Part() for _ in range(3)]
    for each in shuffled:
        apply(rng.choice(parts), each)
    rng.shuffle(parts)
    united = unite(parts)
    assert united == part_of(steps)
    assert msgspec.json.decode(msgspec.json.encode(united), type=Part) == united
    assert score(united, end_of(day)) == score(part_of(steps), end_of(day))


@given(told, st.integers(0, LAST_DAY))
@settings(max_examples=100, deadline=None)
def test_touchpoints_of_later_days_are_ignored(steps: list[JourneyStep], day: int) -> None:
    earlier = part_of([each for each in steps if each.occurred_ms <= end_of(day)])
    then, now = score(earlier, end_of(day)), score(part_of(steps), end_of(day))
    assert (now.score, now.values, now.distress) == (then.score, then.values, then.distress)
    assert now.sentiment == then.sentiment
    assert now.reasons() == then.reasons()
    assert counted(part_of(steps), end_of(day)) == earlier.n


@given(told)
@settings(max_examples=100, deadline=None)
def test_silence_never_heals_but_after_a_resolved_contact(steps: list[JourneyStep]) -> None:
    part = part_of(steps)
    if part.contacts and not part.contacts[max(part.contacts)] & 1:
        return
    curve = [score(part, end_of(day)).score for day in range(LAST_DAY, 5 * LAST_DAY, 7)]
    assert curve == sorted(curve, reverse=True)


@given(told, st.integers(0, 2 * LAST_DAY))
@settings(max_examples=60, deadline=None)
def test_contributions_and_moves_add_up(steps: list[JourneyStep], day: int) -> None:
    before, after = health_on(steps, day), health_on(steps, day + 9)
    for health in (before, after):
        assert tuple(c.name for c in health.components) == tuple(WEIGHTS)
        assert abs(sum(c.contribution for c in health.components) - health.score) <= 0.5
        assert all(0 <= c.value <= 1 for c in health.components)
        assert 0 <= health.distress <= 1000
    assert bool(change(before, after)) == (before.score != after.score)


def test_nobody_has_told_anything_yet() -> None:
    health = score(Part(), at(0))
    assert health.values == tuple(NEUTRAL.values())
    assert (health.score, health.reasons(), health.causes) == (84, [], {})


VISITS = [step(day, "web:page_view") for day in range(0, 60, 5)]


@pytest.mark.parametrize(
    ("component", "news", "day"),
    [
        ("sentiment", [step(60, "chat:message", "awful", -800, direction="inbound")], 60),
        ("survey", [step(60, "survey:answered", survey="csat", answer=1)], 60),
        ("survey", [step(60, "store:visit", rating=1)], 60),
        ("effort", [step(60, "call_center:call", wait_seconds=1800, transfers=3)], 60),
        ("effort", [step(60, "app:rage_click"), step(60, "app:error")], 60),
        ("effort", [step(60, "call_center:callback_promised")], 62),
        ("promises", [step(60, "order:placed", order="A", promised_at=63)], 64),
        ("resolution", [step(60, "call_center:call", resolved=False)], 60),
        ("resolution", [step(60, "chat:closed", resolved=False)], 60),
        ("engagement", [], 90),
        ("recency", [], 90),
    ],
)
def test_each_component_falls_for_its_own_reason(
    component: str, news: list[JourneyStep], day: int
) -> None:
    before, after = health_on(VISITS, 60), health_on([*VISITS, *news], day)
    index = list(WEIGHTS).index(component)
    assert after.values[index] < before.values[index]
    assert after.score < before.score
    assert after.reasons()


@pytest.mark.parametrize(
    ("news", "day"),
    [
        ([step(60, "call_center:callback_promised"), step(61, "call_center:callback_made")], 64),
        ([step(60, "call_center:callback_promised")], 61),
        ([step(60, "chat:message", "we are so sorry", -900, direction="outbound")], 60),
        ([step(60, "order:placed", order="A", promised_at=63)], 62),
        (
            [
                step(60, "order:placed", order="A", promised_at=63),
                step(62, "order:delivered", order="A"),
            ],
            64,
        ),
        (
            [
                step(60, "order:placed", order="A", promised_at=63),
                step(62, "order:cancelled", order="A"),
            ],
            64,
        ),
    ],
)
def test_what_is_no_fault_costs_nothing(news: list[JourneyStep], day: int) -> None:
    health = health_on([*VISITS, *news], day)
    assert health.reasons() == []
    assert health.sentiment == 0


def test_a_resolved_contact_closes_the_matter() -> None:
    calls = [step(day, "call_center:call", resolved=False) for day in (60, 62)]
    before = health_on([*VISITS, *calls], 62)
    after = health_on([*VISITS, *calls, step(63, "call_center:call", resolved=True)], 63)
    assert before.evidence.streak == 2
    assert after.evidence.streak == 0
    assert change(before, after).endswith(": resolved")
    healed = health_on([*VISITS, *calls, step(63, "call_center:call", resolved=True)], 90)
    assert healed.values[2] > after.values[2], "effort heals in silence once resolved"


def test_change_is_one_sentence_and_names_what_is_new() -> None:
    calls = [
        step(day, "call_center:call", "again", -500, wait_seconds=900, resolved=False)
        for day in (60, 62, 64)
    ]
    before, after = health_on([*VISITS, *calls], 63), health_on([*VISITS, *calls], 64)
    points = before.score - after.score
    assert change(before, after) == f"−{points}: third call in 5 days, unresolved"
    persian = change(before, after, "fa")
    assert persian.endswith(": سومین تماس در ۵ روز، حل‌نشده")
    assert not any(digit in persian for digit in "0123456789")
    assert any(line.startswith("−") and "third call" in line for line in changes(before, after))
    assert change(after, after) == ""
    assert changes(after, after) == []


def test_silence_is_told_against_the_customers_own_rhythm() -> None:
    often = [step(day, "web:page_view") for day in range(0, 60, 2)]
    seldom = [step(day, "web:page_view") for day in range(0, 60, 19)]
    assert _engagement(health_on(often, 80)) < 0.5
    assert _engagement(health_on(seldom, 80)) == 1.0
    assert "quiet for 32 days, usually back every 2" in health_on(often, 90).reasons()[0]


def _engagement(health: Health) -> float:
    return health.values[list(WEIGHTS).index("engagement")]


def test_what_the_company_does_is_not_the_customers_rhythm() -> None:
    mailed = [step(day, "survey:sent", survey="nps") for day in range(60, 100)]
    assert _engagement(health_on([*VISITS, *mailed], 100)) == _engagement(health_on(VISITS, 100))


def test_weights_can_be_overridden_by_segment() -> None:
    policy = Policy(weights={"sentiment": 40.0}, segments={"lost": {"recency": 100.0}})
    part = part_of(VISITS)
    usual = score(part, end_of(200), policy)
    lost = score(part, end_of(200), policy, "lost")
    assert usual.weights == score(part, end_of(200), policy, "devotee").weights
    assert sum(lost.weights) == pytest.approx(100)
    assert lost.weights[-1] > usual.weights[-1]
    assert lost.score < usual.score


def test_half_life_decides_how_fast_praise_fades() -> None:
    part = part_of([step(0, "chat:message", "wonderful", 900, direction="inbound")])
    moods = [
        score(part, end_of(60), Policy(half_life=days)).sentiment for days in (10.0, 30.0, 90.0)
    ]
    assert moods == sorted(moods)
    # One text of 0.9 beside one neutral as prior, two half-lives later: 0.9 / 4 / 2.
    assert moods[1] == pytest.approx(112, abs=1)
