"""What a customer is worth, by formulas that need no fit at run time, and the balance of value.

BG/NBD: Fader, Hardie & Lee, "Counting Your Customers the Easy Way", Marketing Science 24 (2005).
Gamma-Gamma: Fader & Hardie, "The Gamma-Gamma Model of Monetary Value" (2013).
The fit is offline, in `streams.core.value_fit`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from schemas.state import Part
from streams.core.evidence import DAY_MS
from streams.core.health import NAMES, Health
from streams.core.policy import SpendModel, ValueModel

DEVOTEE: Final = "devotee"
PROMISING: Final = "promising"
AT_RISK: Final = "at risk"
LOST: Final = "lost"
SEGMENTS: Final = (DEVOTEE, PROMISING, AT_RISK, LOST)
_ALIVE: Final = 0.5  # P(alive) from which a customer is not at risk
_LOST: Final = 0.2  # and below which they are lost
_LOYAL: Final = 3  # days with purchases
_DEVOTED_WITHOUT_MODEL: Final = 5  # days with purchases, where no spend model says what is high
_RISK_DAYS: Final = 180  # since an only purchase, of which BG/NBD says nothing
_LOST_DAYS: Final = 365  # since the last purchase
_GETS: Final = tuple(NAMES.index(name) for name in ("promises", "effort", "resolution"))
_REFERRAL_WORTH: Final = 0.25  # of a high-value customer
_SERIES_MOST: Final = 2_000
_SERIES_END: Final = 1e-14


class Purchases(NamedTuple):
    """A customer's purchases up to a day. Days with purchases count, as the models have them.

    `repeats` = days with purchases after the first; `recency` = days from first to last; `age` =
    days from the first to now; `spend` minor units by currency, less refunds; `later` the same
    after the first day.
    """

    days: int
    repeats: int
    recency: int
    age: int
    spend: dict[str, int]
    later: dict[str, int]
    referrals: int


class Value(NamedTuple):
    """What a customer gives.

    `alive` milli-probability; `expected` milli-purchases and `clv` (minor units of `currency`,
    discounted) over the model's horizon; `tenure` in days; `segment` by purchases alone.
    """

    purchases: Purchases
    tenure: int
    alive: int
    expected: int
    currency: str
    clv: int
    segment: str


class Balance(NamedTuple):
    """Value the customer gets beside value the customer gives, each 0..100.

    Gets: promises kept, effort spared, matters resolved. Gives: spend and referrals, 50 where a
    high-value customer stands.
    """

    gets: int
    gives: int


NO_PURCHASES: Final = Purchases(0, 0, 0, 0, {}, {}, 0)


def purchases(part: Part, as_of_ms: int) -> Purchases:
    """The purchases a part knows of, up to and including the day of `as_of_ms`."""
    today = as_of_ms // DAY_MS
    bought, referrals = [], 0
    for day, sums in part.days.items():
        if day <= today:
            if "orders" in sums:
                bought.append(day)
            if "referrals" in sums:
                referrals += sums["referrals"]
    if not bought:
        return Purchases(0, 0, 0, 0, {}, {}, referrals) if referrals else NO_PURCHASES
    first, last = min(bought), max(bought)
    spend: dict[str, int] = {}
    later: dict[str, int] = {}
    for day, sums in part.days.items():
        if first <= day <= today:
            for measure, amount in sums.items():
                if ":" not in measure:
                    continue
                kind, _, currency = measure.partition(":")
                if currency:
                    net = amount if kind == "spend" else -amount
                    spend[currency] = spend.get(currency, 0) + net
                    if day > first:
                        later[currency] = later.get(currency, 0) + net
    return Purchases(
        len(bought), len(bought) - 1, last - first, today - first, spend, later, referrals
    )


def value(part: Part, as_of_ms: int, model: ValueModel) -> Value | None:
    """What the customer is worth as of a moment; None for one who has given nothing yet."""
    bought = purchases(part, as_of_ms)
    if bought is NO_PURCHASES:
        return None
    alive, expected = outlook(
        model.r,
        model.alpha,
        model.a,
        model.b,
        bought.repeats,
        bought.recency / model.unit_days,
        bought.age / model.unit_days,
        model.horizon_days / model.unit_days,
    )
    currency = max(bought.spend, key=lambda c: (bought.spend[c], c), default="")
    spend = model.spend.get(currency)
    clv = 0
    if spend is not None:
        # Discounted as if all of it came in the middle of the horizon.
        discount = (1 + model.discount) ** (-model.horizon_days / 730)
        repeats = bought.repeats
        mean = max(0, bought.later.get(currency, 0)) / repeats if repeats else 0.0
        clv = round(expected * expected_spend(spend, repeats, mean) * discount)
    return Value(
        bought,
        as_of_ms // DAY_MS - part.first_ms // DAY_MS,
        round(1000 * alive),
        round(1000 * expected),
        currency,
        clv,
        _segment(bought, alive, clv, spend),
    )


def _segment(bought: Purchases, alive: float, clv: int, spend: SpendModel | None) -> str:
    if not bought.days:
        return PROMISING
    if not bought.repeats:
        if bought.age > _LOST_DAYS:
            return LOST
        return AT_RISK if bought.age > _RISK_DAYS else PROMISING
    gone = alive < _ALIVE and bought.age - bought.recency > _LOST_DAYS
    if alive < _LOST or gone:
        return LOST
    if alive < _ALIVE:
        return AT_RISK
    high = clv >= spend.high if spend is not None else bought.days >= _DEVOTED_WITHOUT_MODEL
    return DEVOTEE if high and bought.days >= _LOYAL else PROMISING


def segment_of(worth: Value | None, band: str) -> str:
    """The customer's segment: whoever is worth keeping is at risk while health is red."""
    if worth is None:
        return ""
    return AT_RISK if band == "red" and worth.segment in (DEVOTEE, PROMISING) else worth.segment


def balance(health: Health, worth: Value | None, model: ValueModel) -> Balance:
    """What the customer gets beside what the customer gives.

    Giving is measured in high-value customers: g of them give 100·g/(1 + g).
    """
    gets = sum([health.values[index] for index in _GETS]) / len(_GETS)
    given = 0.0
    if worth is not None:
        given = _REFERRAL_WORTH * worth.purchases.referrals
        spend = model.spend.get(worth.currency)
        if spend is not None and spend.high > 0:
            given += max(0, worth.purchases.spend[worth.currency]) / spend.high
        else:
            given += worth.purchases.days / _DEVOTED_WITHOUT_MODEL
    return Balance(round(100 * gets), round(100 * given / (1 + given)))


@lru_cache(maxsize=1 << 16)
def outlook(
    r: float, alpha: float, a: float, b: float, x: int, t_x: float, age: float, horizon: float
) -> tuple[float, float]:
    """BG/NBD: (P(alive), purchases expected within `horizon`) after `x` repeats, last at `t_x`.

    Times in the model's units since the first purchase. P(alive) is 1 for a customer who never
    bought again: the model lets customers leave only right after a repeat purchase.
    """
    odds = (a / (b + x - 1)) * ((alpha + age) / (alpha + t_x)) ** (r + x) if x else 0.0
    reach = alpha + age + horizon
    if abs(a - 1) < 1e-4:  # the formula divides by a − 1; its limit is next door
        a = 1.0001
    stays = ((alpha + age) / reach) ** (r + x) * hyp2f1(
        r + x, b + x, a + b + x - 1, horizon / reach
    )
    expected = (a + b + x - 1) / (a - 1) * (1 - stays) / (1 + odds)
    return 1 / (1 + odds), expected


def hyp2f1(a: float, b: float, c: float, z: float) -> float:
    """Gauss's hypergeometric function for 0 ≤ z < 1 and c > 0, by its series."""
    if z > 0.9:
        # Euler's transformation: the series in c − a, c − b has smaller terms as z nears 1.
        return float((1 - z) ** (c - a - b)) * _series(c - a, c - b, c, z)
    return _series(a, b, c, z)


def _series(a: float, b: float, c: float, z: float) -> float:
    term = total = 1.0
    for n in range(_SERIES_MOST):
        term *= (a + n) * (b + n) / ((c + n) * (n + 1)) * z
        total += term
        if abs(term) < _SERIES_END * abs(total):
            break
    return total


def expected_spend(model: SpendModel, x: int, mean: float) -> float:
    """Gamma-Gamma: the customer's expected spend a purchase after `x` that averaged `mean`."""
    return model.p * (model.v + x * mean) / (model.p * x + model.q - 1)
