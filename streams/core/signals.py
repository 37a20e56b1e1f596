"""What on one touchpoint says that something went wrong, and what says that somebody helped.

Tables, so that the worker's counts (`is_distressing`) and the ledger's query (`analytics.affected`)
cannot come to differ. Whether a customer is in distress is another question: `core.distress`.
"""

from __future__ import annotations

from typing import Final

from schemas.outcome import JourneyStep
from schemas.touchpoint import CHANNELS
from streams.core.survey import MOOD

# Milli-units, −1000..1000 and 0..1000: a text beyond either says so plainly.
SENTIMENT_MOST: Final = -250
DISTRESS_LEAST: Final = 300
_LOW_ANSWER: Final = -200  # mood, milli-units: an NPS of 6, a CSAT of 2, a CES of 3
# (channel, type) of touchpoints that are trouble whatever else they say
TROUBLE: Final = frozenset(
    {
        *((channel, "complaint") for channel in CHANNELS),
        *((channel, kind) for channel in ("web", "app") for kind in ("error", "rage_click")),
        ("order", "delivery_failed"),
        ("order", "returned"),
    }
)
# (survey, answer), as `JourneyStep.fields` has them
LOW_ANSWERS: Final = frozenset(
    (survey, str(answer))
    for survey, moods in MOOD.items()
    for answer, mood in moods.items()
    if mood <= _LOW_ANSWER
)
LOW_RATINGS: Final = frozenset({"1", "2"})
# (channel, type) of touchpoints that put trouble right; so does a contact that was resolved
HELP: Final = frozenset(
    {
        ("call_center", "callback_made"),
        ("order", "delivered"),
        ("order", "refunded"),
        ("order", "replaced"),
    }
)


def is_distressing(step: JourneyStep) -> bool:
    """Whether a touchpoint tells of trouble: by its type, its text, an answer, or left unresolved.

    The text of what the company itself wrote says nothing.
    """
    if (step.channel, step.type) in TROUBLE:
        return True
    fields = step.fields
    if (
        step.scorer
        and (step.sentiment <= SENTIMENT_MOST or step.distress >= DISTRESS_LEAST)
        and fields.get("direction") != "outbound"
    ):
        return True
    if not fields:
        return False
    return (
        fields.get("resolved") == "false"
        or ("answer" in fields and (fields.get("survey"), fields["answer"]) in LOW_ANSWERS)
        or fields.get("rating") in LOW_RATINGS
    )


def is_help(step: JourneyStep) -> bool:
    """Whether a touchpoint tells that somebody put trouble right."""
    return step.fields.get("resolved") == "true" or (step.channel, step.type) in HELP
