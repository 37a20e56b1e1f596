"""What a customer had to go through: the burden that effort is scored by, and distress's causes."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.state import Part, Sums
from streams.core.policy import Policy

# measure -> (burden, millionths of what docs/health.md calls one; cause of distress; micro-nats)
COSTS: Final[dict[str, tuple[int, str, int]]] = {
    "calls": (300_000, "frequent contact", 120_000),
    "wait_seconds": (556, "long waits", 200),
    "transfers": (300_000, "transfers", 150_000),
    "errors": (100_000, "errors", 60_000),
    "rage_clicks": (300_000, "rage clicks", 200_000),
    "unresolved": (0, "unresolved contact", 550_000),
    "distress": (0, "distressed words", 1),
    "detractors": (0, "detractor", 350_000),
    "returns": (0, "returns", 200_000),
}
_CHAT_BURDEN, _CHAT_NATS = COSTS["calls"][0], COSTS["calls"][2]  # a day with messages is a contact
_REPEAT_NATS: Final = 300_000
_CALLBACK_BURDEN, _CALLBACK_NATS = 500_000, 450_000
_CALLBACK_DAYS: Final = 1  # a callback promised is due by the end of the next day


class Toil(msgspec.Struct, frozen=True, gc=False):
    """Faded burden in units of `policy.UNIT`, and the plain counts of the contact window.

    The window ends with the last contact; `span` is the days from its first to its last, both
    included; `waited` in seconds; `errors` are rage clicks too.
    """

    burden: int = 0
    contacts: int = 0
    span: int = 0
    calls: int = 0
    waited: int = 0
    transfers: int = 0
    errors: int = 0
    callbacks_broken: int = 0


NO_TOIL: Final = Toil()


def toil(part: Part, today: int, clock: int, policy: Policy, nats: dict[str, int]) -> Toil:
    """Toil up to a day, its burden as of `clock`; adds distress's causes to `nats`."""
    fading, pain = policy.tables.effort, policy.tables.pain
    fading_end, pain_end = len(fading) - 1, len(pain) - 1
    burden = 0
    days: list[int] = []  # with contacts
    callbacks = troubled = False
    costs, known = COSTS.get, nats.get
    for day, sums in part.troubles.items():
        age = today - day
        if age < 0:
            continue
        since = clock - day if day < clock else 0
        weight = fading[since] if since < fading_end else 0
        fade = pain[age] if age < pain_end else 0
        if not (weight or fade):
            continue
        endured = 0
        for measure, value in sums.items():
            cost = costs(measure)
            if cost is not None:
                units, cause, micro_nats = cost
                endured += units * value
                if fade:
                    nats[cause] = known(cause, 0) + fade * micro_nats * value
        if "messages" in sums:
            endured += _CHAT_BURDEN
            _add(nats, "frequent contact", fade * _CHAT_NATS)
            days.append(day)
        elif "calls" in sums:
            days.append(day)
        burden += weight * endured
        if "callbacks_promised" in sums:
            callbacks = True
        if "errors" in sums or "rage_clicks" in sums:
            troubled = True
    if not (days or callbacks or troubled):
        return Toil(burden) if burden else NO_TOIL
    broken = 0
    for day in _broken_callbacks(part.troubles, today) if callbacks else ():
        age, since = today - day, max(0, clock - day)
        broken += since < fading_end
        burden += (fading[since] if since < fading_end else 0) * _CALLBACK_BURDEN
        _add(nats, "broken callback promise", (pain[age] if age < pain_end else 0) * _CALLBACK_NATS)
    contacts, span, calls, waited, transfers = _contacts(part.troubles, days, policy.contact_window)
    if contacts > 1 or len(days) > 1:
        days.sort()
        _repeats(part, days, today, pain, nats)
    errors = _errors(part.troubles, clock - policy.contact_window, today) if troubled else 0
    return Toil(burden, contacts, span, calls, waited, transfers, errors, broken)


def _contacts(
    troubles: dict[int, Sums], days: list[int], window: int
) -> tuple[int, int, int, int, int]:
    """(Contacts, span, calls, seconds waited, transfers) of the window that ends with the last."""
    if not days:
        return 0, 0, 0, 0, 0
    if len(days) == 1:
        sums = troubles[days[0]]
        calls = sums.get("calls", 0)
        contacts = calls + ("messages" in sums)
        return contacts, 1, calls, sums.get("wait_seconds", 0), sums.get("transfers", 0)
    chats = calls = waited = transfers = 0
    last = first = max(days)
    for day in days:
        if last - day <= window:
            sums = troubles[day]
            first = min(first, day)
            chats += "messages" in sums
            calls += sums.get("calls", 0)
            waited += sums.get("wait_seconds", 0)
            transfers += sums.get("transfers", 0)
    return chats + calls, last - first + 1, calls, waited, transfers


def _repeats(
    part: Part, days: list[int], today: int, pain: tuple[int, ...], nats: dict[str, int]
) -> None:
    """Contacts made while an earlier one, of the same day or before, was unresolved."""
    left_open = False
    for day in days:
        sums = part.troubles[day]
        contacts = sums.get("calls", 0) + ("messages" in sums)
        again = contacts if left_open else min(contacts - 1, sums.get("unresolved", 0))
        age = today - day
        if again > 0 and age < len(pain):
            _add(nats, "repeat contact", pain[age] * _REPEAT_NATS * again)
        if day in part.contacts:
            left_open = bool(part.contacts[day] & 1)


def _errors(troubles: dict[int, Sums], first: int, last: int) -> int:
    errors = 0
    for day, sums in troubles.items():
        if first <= day <= last:
            errors += sums.get("errors", 0) + sums.get("rage_clicks", 0)
    return errors


def _broken_callbacks(troubles: dict[int, Sums], today: int) -> list[int]:
    """Days of callbacks promised whose time has passed without one; the oldest is served first."""
    promised: list[int] = []
    for day in sorted(day for day in troubles if day <= today):
        sums = troubles[day]
        promised += [day] * sums.get("callbacks_promised", 0)
        del promised[: sums.get("callbacks_made", 0)]
    return [day for day in promised if today - day > _CALLBACK_DAYS]


def _add(nats: dict[str, int], cause: str, evidence: int) -> None:
    if evidence:
        nats[cause] = nats.get(cause, 0) + evidence
