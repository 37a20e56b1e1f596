"""A customer as its account sees it, and which accounts have to be told.

An account has one record of every customer that is, or was, its contact. The customer's own record
says which accounts have one: it is written before they are told, so that whatever dies or stands
still in between, no account keeps a contact that nobody remembers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

import msgspec

from schemas.outcome import Contact, ContactUpdate, CustomerHealth
from streams.core.evidence import DAY_MS
from streams.core.rules import Facts, RuleSet, consent

Told = Mapping[str, tuple[int, int]]  # as `CustomerHealth.told`
NOBODY: Final[Told] = MappingProxyType({})
_encode: Final = msgspec.json.Encoder().encode
_DOUBT: Final = 0  # the digest where somebody else may have told something else
_LEFT: Final = 1  # the digest of no contact


def contact_of(facts: Facts, anchors: Collection[str], ruleset: RuleSet) -> Contact | None:
    """What the customer's account is told; None where there is no account."""
    row, part = facts.row, facts.part
    if not row.account or not anchors:
        return None
    rules = ruleset.of_accounts
    said = {rule.channel: consent(part, rule.channel) for rule in rules}
    return Contact(
        row=row_for_account(row),
        identifiers=sorted({row.customer, *anchors}),
        seen_day=(part.last_visit_ms or part.first_ms) // DAY_MS,
        zone=facts.mark("time_zone"),
        language=facts.mark("language"),
        consent={channel: word for channel, word in said.items() if word},
        fits=[rule.name for rule in rules if rule.holds(facts)],
    )


def row_for_account(row: CustomerHealth) -> CustomerHealth:
    """Of a customer's row, what its account looks at."""
    return CustomerHealth(
        customer=row.customer,
        evaluated_ms=0,
        identifiers=row.identifiers,
        touchpoints=0,
        health=row.health,
        sentiment=0,
        distress=row.distress,
        segment=row.segment,
        account=row.account,
        components={},
        reasons=row.reasons[:1],
        reached={},
        causes=dict(list(row.causes.items())[:1]),
        reasons_fa=row.reasons_fa[:1],
        role=row.role,
    )


def tell(
    customer: str,
    contact: Contact | None,
    told: Told,
    version: int,
    now_ms: int,
    received_ms: int = 0,
    again: bool = False,
) -> tuple[dict[str, tuple[int, int]], list[ContactUpdate]]:
    """What accounts have been told after this, and what to tell them now.

    That is what they were not told before, or all of it `again`. Somebody who knew more may have
    told an account something else: it is told again then, until our version is no lower.
    """
    account = contact.row.account if contact is not None else ""
    known = dict(told)
    news: list[ContactUpdate] = []
    for name in sorted({*told, account} - {""}):
        its = contact if name == account else None
        digest = _LEFT if its is None else _digest(its)
        highest, last = told.get(name, (0, _DOUBT))
        if digest == last and not again:
            continue
        known[name] = (version, digest) if version >= highest else (highest, _DOUBT)
        news.append(ContactUpdate(name, customer, version, now_ms, its, received_ms))
    return known, news


def merge_told(one: Told, other: Told) -> dict[str, tuple[int, int]]:
    """What accounts may have been told by either of two."""
    merged = {**one, **other}
    for account in one.keys() & other.keys():
        (version, digest), (version_, digest_) = one[account], other[account]
        merged[account] = max(version, version_), digest if digest == digest_ else _DOUBT
    return merged


def newer(known: ContactUpdate, news: ContactUpdate) -> ContactUpdate:
    """Of two records of a customer at an account, the one that counts."""
    ahead = (known.version, known.evaluated_ms) > (news.version, news.evaluated_ms)
    return known if ahead else news


def _digest(contact: Contact) -> int:
    return 2 + int.from_bytes(blake2b(_encode(contact), digest_size=6).digest())
