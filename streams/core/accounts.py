"""An account's health from its contacts': a mean by role, overruled by the weakest who matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from schemas.outcome import Account, AccountHealth, Contact, CustomerHealth, OutreachRequest
from streams.core.account_rules import AccountFacts, ask_for_account, horizon, remembered
from streams.core.evidence import DAY_MS
from streams.core.phrases import Language, in_band, phrase
from streams.core.policy import Policy
from streams.core.rules import RuleSet

BANDS: Final = ("red", "amber", "green")


def roll_up(
    account: str, contacts: Iterable[CustomerHealth], policy: Policy
) -> AccountHealth | None:
    """Health of an account; None where nobody who stands belongs to it.

    A contact's role is what `properties.role` said last (see `core.journey`); one without a role,
    or with a role that the policy does not list, weighs 1. A red critical contact makes the
    account red whatever the mean.
    """
    standing = sorted((c for c in contacts if c.identifiers), key=lambda c: (c.health, c.customer))
    if not standing:
        return None
    weights = [policy.roles.get(contact.role, 1.0) for contact in standing]
    whole = sum(weights)
    if whole <= 0:
        weights, whole = [1.0] * len(standing), float(len(standing))
    mean = round(sum(c.health * w for c, w in zip(standing, weights, strict=True)) / whole)
    critical = [contact for contact in standing if contact.role in policy.critical]
    weakest = critical[0] if critical else standing[0]
    overruled = bool(critical) and policy.band(weakest.health) == "red"
    bands = Counter(policy.band(contact.health) for contact in standing)
    return AccountHealth(
        account=account,
        evaluated_ms=max(contact.evaluated_ms for contact in standing),
        health=mean,
        band="red" if overruled else policy.band(mean),
        contacts=len(standing),
        bands={band: bands[band] for band in BANDS if bands[band]},
        weakest=weakest.customer,
        reasons=_reasons(mean, weakest, policy, "en"),
        reasons_fa=_reasons(mean, weakest, policy, "fa"),
    )


def stand(
    account: str,
    contacts: Collection[Contact],
    known: Account | None,
    now_ms: int,
    policy: Policy,
    ruleset: RuleSet,
    received_ms: int = 0,
) -> tuple[Account, list[OutreachRequest]]:
    """An account as of `now_ms`, and the outreach it calls for.

    `known` is what the last evaluation left. An account that nobody belongs to any more keeps the
    memory of what it asked.
    """
    health = roll_up(account, (contact.row for contact in contacts), policy)
    if health is None:
        reached = known.reached if known is not None else {}
        return Account(account, now_ms, 0, "", 0, {}, "", [], reached=reached), []
    past = known.past if known is not None else {}
    found = Account(
        **msgspec.structs.asdict(health) | {"evaluated_ms": now_ms},
        reached=known.reached if known is not None else {},
        past=remembered(past, health.health, now_ms // DAY_MS, horizon(ruleset)),
    )
    if not ruleset.of_accounts:
        return found, []
    asked = ask_for_account(AccountFacts(found, contacts), known, policy, ruleset, received_ms)
    if asked.requests or asked.holding:
        found = msgspec.structs.replace(found, reached=asked.reached, holding=asked.holding)
    return found, asked.requests


def is_news(found: Account, known: Account | None) -> bool:
    """Whether anything but the moment has changed."""
    return known is None or found != msgspec.structs.replace(known, evaluated_ms=found.evaluated_ms)


def merge(known: Account, news: Account) -> Account:
    """The account evaluated last, with the latest request of each rule that either knows."""
    last = max(known, news, key=lambda account: account.evaluated_ms)
    reached = {
        rule: max(account.reached.get(rule, 0) for account in (known, news))
        for rule in known.reached.keys() | news.reached.keys()
    }
    return last if reached == last.reached else msgspec.structs.replace(last, reached=reached)


def _reasons(mean: int, weakest: CustomerHealth, policy: Policy, language: Language) -> list[str]:
    """The mean, the contact who decides, and that contact's own worst reason."""
    role = weakest.role if weakest.role in policy.roles else ""
    reasons = [
        phrase("mean", (mean,), language),
        in_band(role, policy.band(weakest.health), weakest.health, language),
    ]
    own = weakest.reasons if language == "en" else weakest.reasons_fa
    return reasons + own[:1]
