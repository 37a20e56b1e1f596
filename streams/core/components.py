"""The components of health: each a value 0..1 from the evidence, and the phrases that say why.

A component without evidence stands at its neutral value, so that weights never shift between
components and every change of health is the change of what changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streams.core.evidence import Evidence
from streams.core.phrases import Phrase
from streams.core.policy import UNIT, Policy

_BURDEN: Final = 1.5e6 * UNIT  # the burden that halves effort, as `evidence.COSTS` counts it
_MIN_VISITS: Final = 4  # days with visits before a rhythm is one
_WAIT_WORTH_SAYING: Final = 300  # seconds
_UNRESOLVED: Final = (1.0, 0.65, 0.35, 0.1, 0.0)  # value by contacts left unresolved in a row
_WORSENS: Final = 0.25  # share of what is left that a week without an answer costs

# component -> value without evidence, in the order of `policy.WEIGHTS`
NEUTRAL: Final = {
    "sentiment": 0.5,
    "survey": 0.5,
    "effort": 1.0,
    "promises": 1.0,
    "resolution": 1.0,
    "engagement": 1.0,
    "recency": 1.0,
}


def values(e: Evidence, policy: Policy) -> tuple[float, ...]:
    """The value of every component, in the order of `NEUTRAL`."""
    idle = e.today - e.last_visit if e.visits else _idle(e)
    lively = idle <= policy.idle_floor and idle <= policy.recency_grace
    burden, promises = e.toil.burden, e.promises
    return (
        0.5 + 0.5 * mean_sentiment(e) if e.texts else 0.5,
        0.5 + 0.5 * _mean_answer(e) if e.answers else 0.5,
        2.0 ** (-burden / _BURDEN) if burden else 1.0,
        (e.kept + e.late_credit + UNIT) / (promises + UNIT) if promises else 1.0,
        _resolution(e) if e.streak else 1.0,
        1.0 if lively else _engagement(e, policy),
        1.0 if lively else _recency(e, policy),
    )


def mean_sentiment(e: Evidence) -> float:
    """Faded mean of what the customer wrote, −1..1, with one neutral text as prior."""
    return (e.pleased - e.hurt) / (1000 * (e.texts + UNIT))


def _mean_answer(e: Evidence) -> float:
    # Half a neutral answer as prior: one answer says more than one text.
    return (e.answer_up - e.answer_down) / (1000 * (e.answers + UNIT // 2))


def _resolution(e: Evidence) -> float:
    value = _UNRESOLVED[min(e.streak, len(_UNRESOLVED) - 1)]
    value *= 1 - _WORSENS * min(e.open_days, 7) / 7
    return 1 - (1 - value) * e.open_weight / UNIT


def _usual_gap(e: Evidence) -> float:
    return (e.last_visit - e.first_day) / (e.visits - 1)


def _engagement(e: Evidence, policy: Policy) -> float:
    if e.visits < _MIN_VISITS:
        return 1.0
    usual = max(policy.idle_floor, 2 * _usual_gap(e))
    idle = e.today - e.last_visit
    return 1.0 if idle <= usual else 2.0 ** (1 - idle / usual)


def _recency(e: Evidence, policy: Policy) -> float:
    beyond = _idle(e) - policy.recency_grace
    return 2.0 ** (-beyond / policy.recency_half_life) if beyond > 0 else 1.0


def _idle(e: Evidence) -> int:
    """Days since the last visit, else since the first touchpoint."""
    if e.visits:
        return e.today - e.last_visit
    return e.today - e.first_day if e.touched else 0


def _why_sentiment(e: Evidence) -> list[Phrase]:
    mean = mean_sentiment(e)
    return [("they write kindly" if mean > 0 else "they write in anger", ())] if e.texts else []


def _why_survey(e: Evidence) -> list[Phrase]:
    good = e.answer_up > e.answer_down
    return [("good survey answers" if good else "poor survey answers", ())] if e.answers else []


def _why_effort(e: Evidence) -> list[Phrase]:
    phrases: list[Phrase] = []
    toil = e.toil
    if toil.contacts > 1:
        noun = "calls" if toil.calls == toil.contacts else "contacts"
        phrases.append((noun, (toil.contacts, toil.span)))
    elif toil.contacts:
        phrases.append(("a call" if toil.calls else "a contact", ()))
    if toil.callbacks_broken:
        phrases.append(("callback not made", (toil.callbacks_broken,)))
    if toil.waited >= _WAIT_WORTH_SAYING:
        phrases.append(("waited", (toil.waited // 60,)))
    if toil.transfers > 1:
        phrases.append(("transferred", (toil.transfers,)))
    if toil.errors:
        phrases.append(("errors", (toil.errors,)))
    return phrases


def _why_promises(e: Evidence) -> list[Phrase]:
    phrases: list[Phrase] = []
    if e.overdue == 1:
        phrases.append(("overdue", (e.overdue_days,)))
    elif e.overdue:
        phrases.append(("orders overdue", (e.overdue, e.overdue_days)))
    if e.given_up:
        phrases.append(("cancelled late", (e.given_up,)))
    if e.late:
        phrases.append(("late deliveries", (e.late,)))
    return phrases or [("delivered as promised", ())]


def _why_resolution(e: Evidence) -> list[Phrase]:
    if not e.streak:
        return [("resolved", ())]
    return [("unresolved for", (e.open_days,)) if e.open_days else ("unresolved", ())]


def _why_engagement(e: Evidence) -> list[Phrase]:
    if e.visits < _MIN_VISITS:
        return []
    idle = e.today - e.last_visit
    if not idle:
        return [("back", ())]
    return [("quiet", (idle, max(1, round(_usual_gap(e)))))]


def _why_recency(e: Evidence) -> list[Phrase]:
    idle = e.today - e.last_visit
    return [("not seen", (idle,)) if idle else ("back", ())] if e.visits else []


# component -> phrases that explain its value, the weightiest first
WHY: Final[dict[str, Callable[[Evidence], list[Phrase]]]] = {
    "sentiment": _why_sentiment,
    "survey": _why_survey,
    "effort": _why_effort,
    "promises": _why_promises,
    "resolution": _why_resolution,
    "engagement": _why_engagement,
    "recency": _why_recency,
}


def why_moved(name: str, points: float, then: Evidence, now: Evidence) -> list[Phrase]:
    """Phrases for the move of a component by so many points from one moment to another."""
    up = points > 0
    if name in _FELT:
        risen, fallen, kindly, angrily = _FELT[name]
        grew = getattr(now, risen if up else fallen) > getattr(then, risen if up else fallen)
        return [(kindly if up else angrily, ())] if grew else [("fading", ())]
    if not up:
        return _why_fell(name, then, now) or [("fading", ())]
    if name == "promises":
        if now.overdue < then.overdue and now.given_up == then.given_up:
            return [("delivered at last", ())]
        return [("delivered as promised" if now.kept > then.kept else "fading", ())]
    if name == "resolution":
        return [("fading" if now.streak else "resolved", ())]
    return [("fading" if name == "effort" else "back", ())]


def _why_fell(name: str, then: Evidence, now: Evidence) -> list[Phrase]:
    why = WHY[name](now)
    if name == "resolution" and now.streak > then.streak:
        return [("unresolved", ())]
    called = now.toil.contacts > then.toil.contacts
    if name == "effort" and not called and now.toil.callbacks_broken > then.toil.callbacks_broken:
        # The callback that did not come is the news, not the call that it was promised in.
        why.sort(key=lambda phrase: phrase[0] != "callback not made")
    return [(_NTH.get(key, key), numbers) for key, numbers in why]


_NTH: Final = {"calls": "nth call", "contacts": "nth contact"}
# component -> (evidence for, evidence against, phrase for, phrase against)
_FELT: Final = {
    "sentiment": ("pleased", "hurt", "they write kindly", "they write in anger"),
    "survey": ("answer_up", "answer_down", "good survey answers", "poor survey answers"),
}
