"""The value model fitted on a ledger: what `journey fit-value` does between SQL and TOML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import Final, NamedTuple

from streams.core.policy import SpendModel, ValueModel
from streams.core.value import expected_spend, outlook
from streams.core.value_fit import FitError, Fitted, History, fit_purchases, fit_spend, model_of

_HIGH_SHARE: Final = 0.8  # the quantile of CLV from which a customer counts as high value


_DEFAULT: Final = ValueModel()


class PurchaseDay(NamedTuple):
    """A customer's orders of one day in one currency; `net` minor units, less refunds."""

    customer: str
    day: int  # since 1970
    currency: str
    orders: int
    net: int


class _Buyer(NamedTuple):
    history: History
    currency: str
    mean: float  # net spend a repeat purchase, minor units


def fit_ledger(
    days: Iterable[PurchaseDay], today: int, like: ValueModel = _DEFAULT
) -> tuple[ValueModel, Fitted, dict[str, Fitted]]:
    """The model, the fit of purchases, and that of spend by currency, from days by customer.

    `days` must be grouped by customer; unit, horizon and discount are those of `like`. A currency
    in which too few bought again has no spend model, and so no CLV. Raises FitError where too few
    customers bought again at all.
    """
    buyers = [
        buyer
        for _, group in groupby(days, key=lambda day: day.customer)
        if (buyer := _buyer([d for d in group if d.day <= today], today, like.unit_days))
        is not None
    ]
    fitted = fit_purchases(buyer.history for buyer in buyers)
    spends: dict[str, Fitted] = {}
    for currency in sorted({buyer.currency for buyer in buyers} - {""}):
        own = [(b.history.repeats, b.mean) for b in buyers if b.currency == currency]
        try:
            spends[currency] = fit_spend(own)
        except FitError:
            continue
    bare = replace(
        model_of(
            fitted, {currency: (fit, 0.0) for currency, fit in spends.items()}, like.unit_days
        ),
        horizon_days=like.horizon_days,
        discount=like.discount,
    )
    spend = {
        currency: replace(model, high=_high(bare, model, buyers, currency))
        for currency, model in bare.spend.items()
    }
    return replace(bare, spend=spend), fitted, spends


def _buyer(days: list[PurchaseDay], today: int, unit_days: int) -> _Buyer | None:
    bought = {day.day for day in days if day.orders}
    if not bought:
        return None
    first, last = min(bought), max(bought)
    spend: dict[str, int] = {}
    later: dict[str, int] = {}
    for day in days:
        if day.day >= first and day.currency:
            spend[day.currency] = spend.get(day.currency, 0) + day.net
            if day.day > first:
                later[day.currency] = later.get(day.currency, 0) + day.net
    currency = max(spend, key=lambda c: (spend[c], c), default="")
    repeats = len(bought) - 1
    return _Buyer(
        History(repeats, (last - first) / unit_days, (today - first) / unit_days),
        currency,
        later.get(currency, 0) / repeats if repeats else 0.0,
    )


def _high(model: ValueModel, spend: SpendModel, buyers: list[_Buyer], currency: str) -> float:
    """The CLV that the best fifth of a currency's customers reach, as `core.value` counts it."""
    horizon = model.horizon_days / model.unit_days
    discount: float = (1 + model.discount) ** (-model.horizon_days / 730)
    values = sorted(
        outlook(model.r, model.alpha, model.a, model.b, *buyer.history, horizon)[1]
        * expected_spend(spend, buyer.history.repeats, max(0.0, buyer.mean))
        * discount
        for buyer in buyers
        if buyer.currency == currency
    )
    return values[int(_HIGH_SHARE * (len(values) - 1))]
