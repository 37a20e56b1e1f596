"""NPS, CSAT and CES by month or week, from the raw answers in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from clickhouse_driver import Client

from streams.core.survey import BOXES, SurveyMeasures

Length = Literal["month", "week"]
_STARTS: Final[dict[Length, str]] = {"month": "toStartOfMonth", "week": "toMonday"}
_ANSWERS: Final = """
SELECT {start}(toDate(occurred_at, 'UTC')) AS start,
    countIf(survey = 'nps') AS nps,
    countIf(survey = 'nps' AND answer IN %(promoters)s) AS promoters,
    countIf(survey = 'nps' AND answer IN %(detractors)s) AS detractors,
    countIf(survey = 'csat') AS csat,
    countIf(survey = 'csat' AND answer IN %(satisfied)s) AS satisfied,
    countIf(survey = 'ces') AS ces,
    countIf(survey = 'ces' AND answer IN %(easy)s) AS easy,
    sumIf(answer, survey = 'ces') AS effort
FROM (
    SELECT occurred_at, fields['survey'] AS survey, toInt64OrZero(fields['answer']) AS answer
    FROM touchpoints FINAL
    WHERE mapContains(fields, 'answer') AND survey IN ('nps', 'csat', 'ces')
)
GROUP BY start
ORDER BY start
"""


@dataclass(frozen=True, slots=True)
class Period:
    """The measures of the month, or of the week from Monday, that starts on a day in UTC."""

    start: date
    measures: SurveyMeasures

    def as_json(self) -> dict[str, Any]:
        """The documented shape of a line of `journey survey --json`."""
        return {"start": self.start.isoformat(), **self.measures._asdict()}


def periods(client: Client, length: Length = "month") -> list[Period]:
    """Every period with an answer, oldest first; definitions as in `streams.core.survey`."""
    boxes: dict[str, list[int]] = {}
    for (_, answer), box in BOXES.items():
        boxes.setdefault(box, []).append(answer)
    rows = client.execute(_ANSWERS.format(start=_STARTS[length]), boxes)
    found = []
    for start, nps, promoters, detractors, csat, satisfied, ces, easy, effort in rows:
        measures = SurveyMeasures(
            nps=100 * (promoters - detractors) / nps if nps else None,
            csat=100 * satisfied / csat if csat else None,
            ces=effort / ces if ces else None,
            ces_easy=100 * easy / ces if ces else None,
            answers={"nps": nps, "csat": csat, "ces": ces},
        )
        found.append(Period(start, measures))
    return found
