"""Survey measures as their sources define them, from sums that add over days and customers.

NPS: share of 9–10 less share of 0–6 (Reichheld, "The One Number You Need to Grow", HBR 2003).
CSAT: share of answers 4 and 5 of 5, the "top two box"; variants differ, so raw answers are kept.
CES 2.0: mean of 1–7, and share of 5–7 who agree that it was easy (Dixon, Toman & DeLisi, "The
Effortless Experience", CEB 2013).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from schemas.state import Part, Sums

# Survey answer -> −1000..1000 milli-units: (CSAT − 3)/2, (CES − 4)/3, NPS 0 → −1, 7.5 → 0, 10 → 1.
MOOD: Final = {
    "csat": {a: (a - 3) * 500 for a in range(1, 6)},
    "ces": {a: round((a - 4) * 1000 / 3) for a in range(1, 8)},
    "nps": {a: round((a - 7.5) * 1000 / (2.5 if a > 7.5 else 7.5)) for a in range(11)},
}
# (survey, answer) -> the measure that counts answers of its kind
BOXES: Final = {
    **{("nps", a): "detractors" for a in range(7)},
    **{("nps", a): "promoters" for a in (9, 10)},
    **{("csat", a): "satisfied" for a in (4, 5)},
    **{("ces", a): "easy" for a in (5, 6, 7)},
}
ANSWER_WEIGHT: Final = 3  # an answer against the text beside it
DISAGREEMENT: Final = 1000  # milli-units between an answer and its text: half the scale
_DECIDED: Final = 250  # a text nearer to zero than this says neither yes nor no


class SurveyMeasures(NamedTuple):
    """Measures of a period, None without answers.

    `nps` −100..100; `csat` and `ces_easy` 0..100 per cent; `ces` 1..7. `answers` by survey.
    """

    nps: float | None
    csat: float | None
    ces: float | None
    ces_easy: float | None
    answers: dict[str, int]


def measure(parts: Iterable[Part], first_day: int, last_day: int) -> SurveyMeasures:
    """NPS, CSAT and CES over parts and days (since 1970, both ends included)."""
    total: Sums = {}
    for part in parts:
        for day, sums in part.days.items():
            if first_day <= day <= last_day and "answers" in sums:
                for name in _SUMMED:
                    total[name] = total.get(name, 0) + sums.get(name, 0)
    nps, csat, ces = (total.get(f"{survey}_answers", 0) for survey in ("nps", "csat", "ces"))
    return SurveyMeasures(
        nps=100 * (total["promoters"] - total["detractors"]) / nps if nps else None,
        csat=100 * total["satisfied"] / csat if csat else None,
        ces=total["ces"] / ces if ces else None,
        ces_easy=100 * total["easy"] / ces if ces else None,
        answers={"nps": nps, "csat": csat, "ces": ces},
    )


_SUMMED: Final = (
    "nps_answers",
    "csat_answers",
    "ces_answers",
    "promoters",
    "detractors",
    "satisfied",
    "easy",
    "ces",
)


def outweigh(answer: int, text: int) -> int:
    """Mood of a touchpoint that has both: the answer weighs thrice its text. Milli-units."""
    return (ANSWER_WEIGHT * answer + text) // (ANSWER_WEIGHT + 1)


def disagree(answer: int, text: int) -> bool:
    """Whether answer and text (milli-units) contradict each other strongly enough for a review."""
    return answer * text < 0 and abs(text) >= _DECIDED and abs(answer - text) >= DISAGREEMENT
