"""One walk over a customer's sums: what they say as of a moment, in integers.

What hurt fades from one visit to the next but not in silence, unless the last contact was
resolved afterwards: somebody who stays away has not forgiven. What pleased fades with the calendar.
"""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.state import Part
from streams.core.policy import UNIT, Policy
from streams.core.toil import NO_TOIL, Toil, toil

DAY_MS: Final = 86_400_000
_LATE: Final = 500_000
_OVERDUE_A_DAY: Final = 50_000
_OVERDUE_MOST: Final = 1_200_000


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """Sums as of a moment. Faded sums are in units of `policy.UNIT`, times in days since 1970."""

    today: int
    touched: bool  # whether there is any touchpoint yet
    last_visit: int
    visits: int  # days with visits
    first_day: int
    texts: int
    pleased: int
    hurt: int
    answers: int
    answer_up: int
    answer_down: int
    toil: Toil
    streak: int  # contacts left unresolved since the last resolved one
    open_days: int
    open_weight: int  # fades as the customer comes back after the last of them
    kept: int
    late: int
    late_credit: int
    given_up: int  # cancelled after the promised time
    overdue: int
    overdue_days: int
    promises: int  # the weight of all three
    nats: dict[str, int]  # cause of distress -> faded micro-nats


def gather(part: Part, as_of_ms: int, policy: Policy) -> Evidence:
    """Everything health asks of a part, up to and including the day of `as_of_ms`."""
    today = as_of_ms // DAY_MS
    tables = policy.tables
    last_visit, visits = part.last_visit_ms // DAY_MS, len(part.visits)
    if last_visit > today:
        last_visit, visits = _visits(part, today)
    streak = opened = last_contact = closed = 0
    if part.contacts:
        streak, opened, last_contact, closed = _contacts(part, today)
    first_day = part.first_ms // DAY_MS
    clock = last_visit if visits else first_day
    if closed and clock < today and _nothing_hurt_since(part, closed, today):
        clock = today
    mood, survey = tables.mood, tables.survey
    mood_end, survey_end = len(mood) - 1, len(survey) - 1
    texts = pleased = hurt = answers = answer_up = answer_down = 0
    for day, sums in part.days.items():
        if day > today or not ("texts" in sums or "answers" in sums):
            continue
        age = today - day
        since = clock - day if day < clock else 0
        if "texts" in sums:
            weight = mood[since] if since < mood_end else 0
            texts += weight * sums["texts"]
            if "hurt" in sums:
                hurt += weight * sums["hurt"]
            if "pleased" in sums and age < mood_end:
                pleased += mood[age] * sums["pleased"]
        if "answers" in sums:
            weight = survey[since] if since < survey_end else 0
            answers += weight * sums["answers"]
            if "answer_down" in sums:
                answer_down += weight * sums["answer_down"]
            if "answer_up" in sums and age < survey_end:
                answer_up += survey[age] * sums["answer_up"]
    nats: dict[str, int] = {}
    endured = toil(part, today, clock, policy, nats) if part.troubles else NO_TOIL
    promises = _promises(part, as_of_ms, clock, policy, nats) if part.promises else _NO_PROMISES
    return Evidence(
        today,
        part.n > 0 and first_day <= today,
        last_visit,
        visits,
        first_day,
        texts,
        pleased,
        hurt,
        answers,
        answer_up,
        answer_down,
        endured,
        streak,
        today - opened,
        _weight(tables.promise, clock - last_contact) if streak else 0,
        *promises,
        nats,
    )


def _visits(part: Part, today: int) -> tuple[int, int]:
    """(Day of the last visit, days with visits) up to a day, both zero where there is none."""
    earlier = [day for day in part.visits if day <= today]
    return (max(earlier), len(earlier)) if earlier else (0, 0)


def _contacts(part: Part, today: int) -> tuple[int, int, int, int]:
    """(Unresolved contacts since the last resolved, days of the first and last, day it closed)."""
    contacts = part.contacts
    last = max(contacts)
    if last > today:
        contacts = {day: contact for day, contact in contacts.items() if day <= today}
        if not contacts:
            return 0, 0, 0, 0
        last = max(contacts)
    if not contacts[last] & 1:
        return 0, 0, 0, last
    boundary = -1
    for day, contact in contacts.items():
        if day > boundary and not contact & 1:
            boundary = day
    first, streak = last, 0
    for day in contacts:
        if day > boundary:
            streak += part.troubles[day]["unresolved"]
            first = min(first, day)
    return streak, first, last, 0


def _nothing_hurt_since(part: Part, closed: int, today: int) -> bool:
    for day in part.troubles:
        if closed < day <= today:
            return False
    for day, sums in part.days.items():
        if closed < day <= today and ("hurt" in sums or "answer_down" in sums):
            return False
    return True


_NO_PROMISES: Final = (0, 0, 0, 0, 0, 0, 0)


def _promises(
    part: Part, as_of_ms: int, clock: int, policy: Policy, nats: dict[str, int]
) -> tuple[int, int, int, int, int, int, int]:
    """(Kept, late, credit of the late, given up, overdue, days overdue at most, weight of all)."""
    today = as_of_ms // DAY_MS
    faded, pain = policy.tables.promise, policy.tables.pain
    kept = late = credit = given_up = overdue = longest = whole = 0
    for promise in part.promises.values():
        due = promise.promised_ms
        if not due or due > as_of_ms or promise.known_ms // DAY_MS > today:
            continue
        delivered, cancelled = promise.delivered_ms, promise.cancelled_ms
        came = delivered and delivered // DAY_MS <= today
        if came or (cancelled and cancelled // DAY_MS <= today):
            ended = delivered if came else cancelled
            weight = _weight(faded, clock - ended // DAY_MS)
            if not weight or (not came and cancelled <= due):
                continue
            whole += weight
            if came and delivered <= due:
                kept += weight
                continue
            if came:
                late += 1
                credit += _weight(_LATE_CREDIT, (delivered - due) // DAY_MS) * weight // UNIT
            else:
                given_up += 1
            _evidence(nats, "late delivery", _weight(pain, today - ended // DAY_MS), _LATE)
        elif clock - due // DAY_MS <= policy.promise_window:
            days = (as_of_ms - due) // DAY_MS
            whole += UNIT
            overdue += 1
            longest = max(longest, days, 1)
            _evidence(
                nats, "late delivery", UNIT, min(_OVERDUE_MOST, _LATE + _OVERDUE_A_DAY * days)
            )
    return kept, late, credit, given_up, overdue, longest, whole


# Days late -> what the delivery still counts as a promise kept: half, and half again each 3 days.
_LATE_CREDIT: Final = (*(round(UNIT * 0.5 * 2 ** (-days / 3)) for days in range(31)), 0)


def _weight(table: tuple[int, ...], age: int) -> int:
    return table[min(max(age, 0), len(table) - 1)]


def _evidence(nats: dict[str, int], cause: str, weight: int, micro_nats: int) -> None:
    if weight:
        nats[cause] = nats.get(cause, 0) + weight * micro_nats
