"""BG/NBD and Gamma-Gamma fitted by maximum likelihood: standard library, a search by Nelder–Mead.

Likelihoods as in the papers that `streams.core.value` names; parameters are searched as
logarithms, so that they stay positive. Customers alike are counted together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, lgamma, log
from typing import Final, NamedTuple

from streams.core.policy import SpendModel, ValueModel

_STEP: Final = 0.25
_TOLERANCE: Final = 1e-9
_MOST_STEPS: Final = 3_000


class FitError(Exception):
    """A model cannot be fitted; the message says to what and what to do."""


class History(NamedTuple):
    """One customer for BG/NBD: repeat purchases, and the times from the first to the last and now.

    Times in the unit of the model.
    """

    repeats: int
    recency: float
    age: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """Parameters that were found, and the log-likelihood there."""

    parameters: tuple[float, ...]
    log_likelihood: float
    customers: int
    steps: int


def fit_purchases(histories: Iterable[History]) -> Fitted:
    """BG/NBD's (r, alpha, a, b). Raises FitError without customers who bought again."""
    alike = Counter(histories)
    customers = alike.total()
    if sum(count for history, count in alike.items() if history.repeats) < 10:
        raise FitError("fit-value: fewer than ten customers bought again; wait for more orders")
    start = (1.0, _mean((h.age, n) for h, n in alike.items()) or 1.0, 1.0, 1.0)
    found, loss, steps = minimise(
        lambda logs: -purchases_likelihood([exp(v) for v in logs], alike) / customers,
        [log(value) for value in start],
    )
    return Fitted(tuple(exp(value) for value in found), -loss * customers, customers, steps)


def purchases_likelihood(parameters: Sequence[float], alike: Counter[History]) -> float:
    """Log-likelihood of BG/NBD's (r, alpha, a, b), equation (6) of the 2005 paper."""
    r, alpha, a, b = parameters
    constant = r * log(alpha) - lgamma(r) + lgamma(a + b) - lgamma(b)
    by_repeats: dict[int, tuple[float, float]] = {}
    total = 0.0
    for (x, t_x, age), count in alike.items():
        known = by_repeats.get(x)
        if known is None:
            known = by_repeats[x] = (
                constant + lgamma(r + x) + lgamma(b + x) - lgamma(a + b + x),
                log(a / (b + x - 1)) if x else 0.0,
            )
        stays = -(r + x) * log(alpha + age)
        if x:
            left = known[1] - (r + x) * log(alpha + t_x)
            high = max(stays, left)
            stays = high + log(exp(stays - high) + exp(left - high))
        total += count * (known[0] + stays)
    return total


def fit_spend(spends: Iterable[tuple[int, float]]) -> Fitted:
    """Gamma-Gamma's (p, q, v) from (repeat purchases, their mean) of each customer.

    Customers without repeats or with nothing spent are left out. Raises FitError where fewer than
    ten remain.
    """
    alike = Counter((x, mean) for x, mean in spends if x > 0 and mean > 0)
    customers = alike.total()
    if customers < 10:
        raise FitError("fit-value: fewer than ten customers spent again; wait for more orders")
    # Means near one keep the search on an even footing whatever the currency.
    scale = _mean((mean, n) for (_, mean), n in alike.items())
    scaled = Counter({(x, mean / scale): n for (x, mean), n in alike.items()})
    found, _, steps = minimise(
        lambda logs: -spend_likelihood([exp(v) for v in logs], scaled) / customers,
        [log(2.0), log(2.0), log(1.0)],
    )
    p, q, v = (exp(value) for value in found)
    at = (p, q, v * scale)
    return Fitted(at, spend_likelihood(at, alike), customers, steps)


def spend_likelihood(parameters: Sequence[float], alike: Counter[tuple[int, float]]) -> float:
    """Log-likelihood of Gamma-Gamma's (p, q, v), equation (1a) of the 2013 note."""
    p, q, v = parameters
    constant = q * log(v) - lgamma(q)
    return sum(
        count
        * (
            constant
            + lgamma(p * x + q)
            - lgamma(p * x)
            + (p * x - 1) * log(mean)
            + p * x * log(x)
            - (p * x + q) * log(v + x * mean)
        )
        for (x, mean), count in alike.items()
    )


def model_of(
    purchases: Fitted, spends: dict[str, tuple[Fitted, float]], unit_days: int
) -> ValueModel:
    """The model to apply: BG/NBD's fit and, by currency, Gamma-Gamma's with its high value."""
    r, alpha, a, b = purchases.parameters
    models = {}
    for currency, (fitted, high) in spends.items():
        p, q, v = fitted.parameters
        models[currency] = SpendModel(p, q, v, high)
    return ValueModel(r, alpha, a, b, unit_days=unit_days, spend=models)


def to_toml(model: ValueModel) -> str:
    """The model as the `[value]` tables of the policy file."""
    names = ("r", "alpha", "a", "b", "unit_days", "horizon_days", "discount")
    lines = ["[value]", *(f"{name} = {getattr(model, name)!r}" for name in names)]
    for currency, spend in sorted(model.spend.items()):
        lines += ["", f"[value.spend.{currency}]"]
        lines += [f"{name} = {getattr(spend, name)!r}" for name in ("p", "q", "v", "high")]
    return "\n".join(lines) + "\n"


def minimise(
    f: Callable[[Sequence[float]], float], start: Sequence[float]
) -> tuple[list[float], float, int]:
    """A local minimum by Nelder & Mead (1965): (where, its value, steps). Restarts once there."""
    where, steps = _search(f, list(start))
    where, more = _search(f, where)
    return where, f(where), steps + more


def _search(f: Callable[[Sequence[float]], float], start: list[float]) -> tuple[list[float], int]:
    size = len(start)
    corners = [start] + [
        [value + _STEP * (i == j) for j, value in enumerate(start)] for i in range(size)
    ]
    ranked = sorted(((f(corner), corner) for corner in corners), key=lambda pair: pair[0])
    steps = 0
    while steps < _MOST_STEPS and any(b[0] - a[0] > _TOLERANCE for a, b in pairwise(ranked)):
        steps += 1
        worst, corner = ranked[-1]
        centre = [sum(c[j] for _, c in ranked[:-1]) / size for j in range(size)]

        def along(
            t: float, centre: list[float] = centre, corner: list[float] = corner
        ) -> tuple[float, list[float]]:
            point = [m + t * (m - c) for m, c in zip(centre, corner, strict=True)]
            return f(point), point

        tried = along(1.0)
        if tried[0] < ranked[0][0]:
            tried = min(tried, along(2.0), key=lambda pair: pair[0])
        elif tried[0] >= ranked[-2][0]:
            tried = min(tried, along(0.5 if tried[0] < worst else -0.5), key=lambda pair: pair[0])
        if tried[0] < worst:
            ranked[-1] = tried
        else:
            best = ranked[0][1]
            shrunk = [[(b + c) / 2 for b, c in zip(best, c, strict=True)] for _, c in ranked[1:]]
            ranked[1:] = [(f(point), point) for point in shrunk]
        ranked.sort(key=lambda pair: pair[0])
    return ranked[0][1], steps


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    total = count = 0.0
    for value, n in weighted:
        total += value * n
        count += n
    return total / count if count else 0.0
