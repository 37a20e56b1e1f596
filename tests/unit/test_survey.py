import pytest

from schemas.outcome import JourneyStep
from streams.core.survey import MOOD, disagree, measure, outweigh
from tests.unit.health_steps import START, part_of, step


def answers(survey: str, given: list[int]) -> list[JourneyStep]:
    return [step(day, "survey:answered", survey=survey, answer=a) for day, a in enumerate(given)]


def test_nps_is_promoters_less_detractors() -> None:
    part = part_of(answers("nps", [10, 9, 9, 8, 7, 6, 0, 10, 10, 7]))
    measures = measure([part], START, START + 30)
    assert measures.nps == 30.0  # 5 of 10 promote, 2 detract
    assert (measures.csat, measures.ces, measures.answers["nps"]) == (None, None, 10)


def test_csat_is_the_share_of_fours_and_fives() -> None:
    assert measure([part_of(answers("csat", [5, 4, 3, 1]))], START, START + 9).csat == 50.0


def test_ces_is_the_mean_of_seven_and_the_share_that_agrees() -> None:
    measures = measure([part_of(answers("ces", [7, 6, 5, 2]))], START, START + 9)
    assert (measures.ces, measures.ces_easy) == (5.0, 75.0)


def test_period_and_parts_bound_what_counts() -> None:
    parts = [part_of(answers("nps", [10, 0])), part_of(answers("nps", [9, 9, 9]))]
    assert measure(parts, START, START).nps == 100.0
    assert measure(parts, START + 1, START + 1).nps == 0.0
    assert measure(parts, START + 2, START + 9).answers["nps"] == 1
    assert measure(parts, START + 50, START + 60).nps is None


@pytest.mark.parametrize(("survey", "low", "high"), [("nps", 0, 10), ("csat", 1, 5), ("ces", 1, 7)])
def test_scales_end_at_the_extremes_and_rise(survey: str, low: int, high: int) -> None:
    moods = [MOOD[survey][answer] for answer in range(low, high + 1)]
    assert (moods[0], moods[-1]) == (-1000, 1000)
    assert moods == sorted(set(moods))


def test_an_answer_outweighs_its_text() -> None:
    assert outweigh(1000, -1000) == 500
    part = part_of([step(0, "survey:answered", "well…", -1000, survey="csat", answer=5)])
    assert part.days[START]["pleased"] == 500
    assert "hurt" not in part.days[START]


def test_strong_disagreement_asks_for_a_review() -> None:
    assert disagree(1000, -850)
    assert not disagree(1000, 850)
    assert not disagree(1000, -100), "a text that says neither is no contradiction"
    assert not disagree(0, -1000), "a neutral answer is none either"
    sarcasm = step(0, "survey:answered", "oh, just great", 900, survey="nps", answer=0)
    part = part_of([sarcasm, step(3, "survey:answered", "good", 900, survey="nps", answer=10)])
    assert part.days[START]["disagreements"] == 1
    assert part.latest["review"].event_id == sarcasm.event_id
    assert part.latest["review"].value == "answer -1000, text +900"
