"""An account's health from its contacts': a mean by role, overruled by the weakest who matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from schemas.outcome import AccountHealth, CustomerHealth
from streams.core.phrases import Language, in_band, phrase
from streams.core.policy import Policy

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


def _reasons(mean: int, weakest: CustomerHealth, policy: Policy, language: Language) -> list[str]:
    """The mean, the contact who decides, and that contact's own worst reason."""
    role = weakest.role if weakest.role in policy.roles else ""
    reasons = [
        phrase("mean", (mean,), language),
        in_band(role, policy.band(weakest.health), weakest.health, language),
    ]
    own = weakest.reasons if language == "en" else weakest.reasons_fa
    return reasons + own[:1]
