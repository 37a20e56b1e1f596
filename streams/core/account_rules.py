"""Rules on accounts: which of them an account calls for, and whom of its contacts they address."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

from schemas.outcome import Account, Contact, OutreachRequest
from streams.core.evidence import DAY_MS
from streams.core.policy import Policy
from streams.core.rules import (
    Asked,
    Drop,
    Limits,
    Occasion,
    Person,
    Rule,
    RuleSet,
    request_to,
)

ANYONE: Final = "anyone"  # in `to`: whoever is left


class AccountFacts(NamedTuple):
    """What conditions on an account look at: the account as of a moment, and its contacts."""

    account: Account
    contacts: Collection[Contact]

    @property
    def weakest(self) -> int:
        """Health of the contact who decides; 100 where there is none."""
        weakest = self.account.weakest
        return next((c.row.health for c in self.contacts if c.row.customer == weakest), 100)


def health_on(past: Mapping[int, int], day: int) -> int | None:
    """Health at the end of a day by what is remembered of it; None where that is nothing."""
    known = [each for each in past if each <= day]
    return past[max(known)] if known else None


def remembered(past: Mapping[int, int], health: int, today: int, days: int) -> dict[int, int]:
    """What is remembered of the last `days`, with today's health so far."""
    if not days:
        return {}
    oldest = max((day for day in past if day <= today - days), default=today - days)
    kept = {day: then for day, then in past.items() if oldest <= day <= today}
    if health_on(kept, today) != health:
        kept[today] = health
    return kept


def _dropped(facts: AccountFacts, drop: Drop) -> bool:
    account = facts.account
    before = health_on(account.past, account.evaluated_ms // DAY_MS - drop.days)
    return before is not None and before - account.health >= drop.points


# condition -> whether it holds; health is 0..100
CONDITIONS: Final[dict[str, Callable[[AccountFacts, Any], bool]]] = {
    "account_health": lambda facts, range_: range_.covers(facts.account.health),
    "account_band": lambda facts, any_of: facts.account.band in any_of,
    "account_health_drop": _dropped,
    "weakest_contact": lambda facts, range_: range_.covers(facts.weakest),
    "contacts": lambda facts, range_: range_.covers(facts.account.contacts),
}


def horizon(ruleset: RuleSet) -> int:
    """Days of an account's past that its rules look back."""
    drops = (rule.account.get("account_health_drop") for rule in ruleset.of_accounts)
    return max((drop.days for drop in drops if drop is not None), default=0)


def ask_for_account(
    facts: AccountFacts, known: Account | None, policy: Policy, ruleset: RuleSet, received_ms: int
) -> Asked:
    """Requests of the rules whose conditions have held for long enough and may ask now.

    The conditions hold of the account, and there is somebody to address.
    """
    account, now_ms = facts.account, facts.account.evaluated_ms
    reached = dict(known.reached) if known is not None else {}
    holding = known.holding if known is not None else {}
    requests: list[OutreachRequest] = []
    held: dict[str, int] = {}
    for rule in ruleset.of_accounts:
        if not all(CONDITIONS[name](facts, value) for name, value in rule.account.items()):
            continue
        contact = addressee(rule, facts.contacts, ruleset.limits)
        if contact is None:
            continue
        if rule.hold_ms:
            held[rule.name] = since = holding.get(rule.name, now_ms)
            if now_ms - since < rule.hold_ms:
                continue
        last = reached.get(rule.name, 0)
        if last and now_ms < ruleset.next_look(last, contact.zone):
            continue
        occasion = Occasion(
            # No customer's id has a space before its first colon.
            f"account {account.account}",
            f"{last}\n{now_ms // DAY_MS}",
            now_ms,
            "; ".join(account.reasons),
            received_ms,
        )
        person = _person(contact, rule, now_ms)
        requests.append(request_to(person, rule, occasion, policy, ruleset.limits))
        reached[rule.name] = now_ms
    return Asked(requests, reached, held)


def addressee(rule: Rule, contacts: Collection[Contact], limits: Limits) -> Contact | None:
    """Whom a rule addresses: of the contacts who fit it, the one with the best claim.

    Those who may be reached come first; then by the order of `to`; of one role the least healthy,
    the most distressed, the first by id. Whom consent forbids is asked for only where nobody else
    fits, so that the guard tells why nobody was reached.
    """
    places = {role: place for place, role in enumerate(rule.to)}

    def claim(contact: Contact) -> tuple[bool, int, int, int, str]:
        said = contact.consent.get(rule.channel, "")
        barred = said == "withdrawn" or (limits.ask_first and said != "granted")
        row = contact.row
        place = places.get(row.role, places.get(ANYONE, 0))
        return barred, place, row.health, -row.distress, row.customer

    fitting = [
        contact
        for contact in contacts
        if rule.name in contact.fits and (contact.row.role in places or ANYONE in places)
    ]
    return min(fitting, key=claim, default=None)


def _person(contact: Contact, rule: Rule, now_ms: int) -> Person:
    return Person(
        contact.row,
        contact.identifiers,
        contact.zone,
        contact.language,
        contact.consent.get(rule.channel, ""),
        max(0, now_ms // DAY_MS - contact.seen_day),
    )
