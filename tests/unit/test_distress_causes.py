from math import log, prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcome import JourneyStep
from streams.core.distress import causes, noisy_or
from streams.core.phrases import CAUSES
from streams.core.policy import UNIT
from streams.core.toil import COSTS
from tests.unit.health_steps import health_on, step

NAMED = {
    "distressed words": [step(9, "chat:message", "help!", -500, 600, direction="inbound")],
    "frequent contact": [step(9, "call_center:call")],
    "repeat contact": [
        step(8, "call_center:call", resolved=False),
        step(9, "call_center:call", resolved=True),
    ],
    "long waits": [step(9, "call_center:call", wait_seconds=1500)],
    "transfers": [step(9, "call_center:call", transfers=3)],
    "unresolved contact": [step(9, "call_center:call", resolved=False)],
    "broken callback promise": [step(7, "call_center:callback_promised")],
    "late delivery": [
        step(1, "order:placed", order="A", promised_at=5),
        step(9, "order:delivered", order="A"),
    ],
    "errors": [step(9, "web:error"), step(9, "app:error")],
    "rage clicks": [step(9, "web:rage_click")],
    "detractor": [step(9, "survey:answered", survey="nps", answer=3)],
    "returns": [step(9, "order:returned", order="A")],
}


@pytest.mark.parametrize(("cause", "steps"), NAMED.items())
def test_each_cause_is_named_and_fades(cause: str, steps: list[JourneyStep]) -> None:
    now, later = health_on(steps, 9), health_on(steps, 14)
    assert cause in now.causes
    assert now.distress >= now.causes[cause] > 0
    assert later.distress < now.distress
    assert now.distressed_by() == list(now.causes)
    assert CAUSES[cause] in now.distressed_by("fa")


def test_an_overdue_order_does_not_fade() -> None:
    steps = [step(0, "order:placed", order="A", promised_at=5)]
    assert health_on(steps, 20).distress > health_on(steps, 8).distress > 0


def test_every_cause_has_a_persian_name() -> None:
    known = {cause for _, cause, _ in COSTS.values()} | set(NAMED)
    assert known == set(CAUSES)


@given(st.dictionaries(st.sampled_from(sorted(CAUSES)), st.floats(0, 0.95), min_size=1))
def test_evidence_that_adds_is_a_noisy_or(chances: dict[str, float]) -> None:
    nats = {cause: round(-log(1 - p) * 1e6 * UNIT) for cause, p in chances.items()}
    expected = 1 - prod(1 - p for p in chances.values())
    assert noisy_or(nats) == pytest.approx(1000 * expected, abs=0.51)
    for cause, chance in causes(nats).items():
        assert chance == pytest.approx(1000 * chances[cause], abs=0.51)


def test_causes_come_strongest_first() -> None:
    assert list(causes({"errors": 10**12, "returns": 2 * 10**12, "transfers": 1})) == [
        "returns",
        "errors",
    ]


def test_the_same_wait_hurts_more_in_a_repeated_call() -> None:
    call: dict[str, Any] = {"wait_seconds": 300, "resolved": False}
    once = health_on([step(9, "call_center:call", **call)], 9)
    twice = health_on([step(d, "call_center:call", **call) for d in (8, 9)], 9)
    apart = health_on([step(d, "call_center:call", wait_seconds=300) for d in (8, 9)], 9)
    assert twice.distress > once.distress > apart.distress
    assert "repeat contact" not in apart.causes
