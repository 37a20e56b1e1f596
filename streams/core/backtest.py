"""Rules over history: what they would have asked the guard for, had they been live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from schemas.outcome import (
    Account,
    Contact,
    ContactUpdate,
    CustomerHealth,
    JourneyStep,
    OutreachRequest,
)
from schemas.state import Part
from streams.core import accounts
from streams.core.account_rules import horizon
from streams.core.contacts import NOBODY, tell
from streams.core.evidence import DAY_MS
from streams.core.journey import apply
from streams.core.policy import Policy
from streams.core.rules import RuleSet
from streams.core.stitch import stand

_NOON: Final = DAY_MS // 2


class Look(NamedTuple):
    """What came of looking at a customer: requests, and what accounts were told."""

    requests: list[OutreachRequest]
    updates: list[ContactUpdate]


def looks(
    customer: str,
    steps: Iterable[JourneyStep],
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
) -> Iterator[Look]:
    """What one customer's rules ask for and its accounts are told, in order of time.

    The customer is looked at as each touchpoint comes, when a duration is over or a rule may ask
    again, and daily at noon UTC. Live, it is looked at every minute: what comes true by silence
    alone may be told up to a day late here.

    Requests lie between the two moments. Where there are rules on accounts, these are told from as
    long before as such a rule looks back.
    """
    part, anchors = Part(), set[str]()
    known: CustomerHealth | None = None
    told, followed = NOBODY, bool(ruleset.of_accounts)
    begins_ms = since_ms - horizon(ruleset) * DAY_MS if followed else since_ms

    def look(at_ms: int) -> Look:
        nonlocal known, told
        reached, holding = (known.reached, known.holding) if known else ({}, {})
        found = stand(customer, part, anchors, reached, at_ms, policy, ruleset, holding)
        updates: list[ContactUpdate] = []
        if followed:
            told, updates = tell(customer, found.contact, told, at_ms, at_ms)
        if at_ms < since_ms:
            return Look([], updates)
        known = found.health
        return Look(found.requests, updates)

    now_ms, begun = begins_ms, False
    for step in steps:
        if step.occurred_ms > until_ms:
            break
        if anchors and not begun and step.occurred_ms >= begins_ms:
            begun = True
            if followed:
                yield look(begins_ms)
        if anchors:
            while (due := _next(now_ms, known, part, ruleset)) < step.occurred_ms:
                now_ms = due
                yield look(now_ms)
        apply(part, step)
        anchors.add(step.anchor)
        if step.occurred_ms >= begins_ms:
            begun = True
            now_ms = step.occurred_ms
            yield look(now_ms)
    if anchors and not begun and followed:
        yield look(begins_ms)
    while anchors and (due := _next(now_ms, known, part, ruleset)) <= until_ms:
        now_ms = due
        yield look(now_ms)


def requests_of(
    customer: str,
    steps: Iterable[JourneyStep],
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
) -> Iterator[OutreachRequest]:
    """Requests of one customer's rules alone: see `looks`."""
    for look in looks(customer, steps, ruleset, policy, since_ms, until_ms):
        yield from look.requests


def account_requests_of(
    account: str,
    updates: Iterable[ContactUpdate],
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
) -> Iterator[OutreachRequest]:
    """Requests of one account's rules between two moments, in order of time.

    `updates` are what all of its contacts told it, in order of time. The account is looked at when
    a contact changes and else as a customer is.
    """
    contacts: dict[str, Contact] = {}
    known: Account | None = None

    def look(at_ms: int) -> list[OutreachRequest]:
        nonlocal known
        found, asked = accounts.stand(account, contacts.values(), known, at_ms, policy, ruleset)
        if at_ms < since_ms:
            asked, found = [], _unasked(found)
        known = found
        return asked

    now_ms = 0
    for at_ms, told in groupby(updates, key=attrgetter("evaluated_ms")):
        while known and (due := _next_of(now_ms, known, contacts, ruleset)) < at_ms:
            now_ms = due
            yield from look(now_ms)
        for update in told:
            if update.contact is None:
                contacts.pop(update.customer, None)
            else:
                contacts[update.customer] = update.contact
        now_ms = at_ms
        yield from look(now_ms)
    while known and (due := _next_of(now_ms, known, contacts, ruleset)) <= until_ms:
        now_ms = due
        yield from look(now_ms)


def _unasked(account: Account) -> Account:
    return msgspec.structs.replace(account, reached={}, holding={})


def _next(now_ms: int, known: CustomerHealth | None, part: Part, ruleset: RuleSet) -> int:
    """The next moment after this one at which time alone may make a rule ask."""
    zone = part.latest.get("time_zone")
    zones = [zone.value if zone is not None else ""]
    return _due(now_ms, known, zones, ruleset)


def _next_of(now_ms: int, known: Account, contacts: Mapping[str, Contact], ruleset: RuleSet) -> int:
    """The same of an account, by the clocks of all whom a rule may address."""
    return _due(now_ms, known, {contact.zone for contact in contacts.values()}, ruleset)


def _due(
    now_ms: int, known: CustomerHealth | Account | None, zones: Iterable[str], ruleset: RuleSet
) -> int:
    dues = [(now_ms - _NOON) // DAY_MS * DAY_MS + DAY_MS + _NOON]
    if known is not None:
        holds = {rule.name: rule.hold_ms for rule in ruleset.rules}
        dues += [since + holds[name] for name, since in known.holding.items()]
        dues += [
            ruleset.next_look(asked, zone) for asked in known.reached.values() for zone in zones
        ]
    return min(due for due in dues if due > now_ms)
