"""What outreach did: those reached against those held out, with confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
SMALL: Final = 30  # customers in a group, below which nothing is concluded


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is told apart from none."""
        return self.low > 0 or self.high < 0


@dataclass(slots=True)
class Group:
    """Customers followed up: their changes of health, summed as they come, and who left.

    Mean and squares by Welford's method (Technometrics 4, 1962).
    """

    customers: int = 0
    left: int = 0
    change: float = 0.0  # mean
    squares: float = 0.0  # of the deviations from the mean, summed

    def add(self, change: float, left: bool) -> None:
        """Count one customer."""
        self.customers += 1
        self.left += left
        delta = change - self.change
        self.change += delta / self.customers
        self.squares += delta * (change - self.change)

    @property
    def variance(self) -> float:
        """Of the sample, with n − 1."""
        return self.squares / (self.customers - 1)


@dataclass(frozen=True, slots=True)
class Effect:
    """Reached less held out: mean change of health in points, and share who left.

    The intervals are None where a group is too small to say anything.
    """

    reached: Group
    held_out: Group
    health: Interval | None
    left: Interval | None


def compare(reached: Group, held_out: Group) -> Effect:
    """The difference between two groups, where each has `SMALL` customers at least."""
    if min(reached.customers, held_out.customers) < SMALL:
        return Effect(reached, held_out, None, None)
    return Effect(reached, held_out, welch(reached, held_out), newcombe(reached, held_out))


def welch(a: Group, b: Group, confidence: float = CONFIDENCE) -> Interval:
    """Difference of two means whose variances may differ.

    Welch, Biometrika 34 (1947), with the Welch–Satterthwaite degrees of freedom. Each group needs
    two customers.
    """
    difference = a.change - b.change
    of_a, of_b = a.variance / a.customers, b.variance / b.customers
    error = sqrt(of_a + of_b)
    if not error:
        return Interval(difference, difference, difference)
    freedom = (of_a + of_b) ** 2 / (of_a**2 / (a.customers - 1) + of_b**2 / (b.customers - 1))
    reach = student_quantile((1 + confidence) / 2, freedom) * error
    return Interval(difference, difference - reach, difference + reach)


def newcombe(a: Group, b: Group, confidence: float = CONFIDENCE) -> Interval:
    """Difference of two proportions: Newcombe's hybrid score interval.

    Method 10 of Newcombe, Statistics in Medicine 17 (1998) 873–890: it needs no continuity
    correction and never leaves −1..1.
    """
    p, low_p, high_p = wilson(a.left, a.customers, confidence)
    q, low_q, high_q = wilson(b.left, b.customers, confidence)
    below = sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    above = sqrt((high_p - p) ** 2 + (q - low_q) ** 2)
    return Interval(p - q, p - q - below, p - q + above)


def wilson(hits: int, of: int, confidence: float = CONFIDENCE) -> Interval:
    """A proportion with its score interval: Wilson, JASA 22 (1927) 209–212."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p, shrink = hits / of, 1 + z * z / of
    centre = (p + z * z / (2 * of)) / shrink
    reach = z * sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / shrink
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if not hits else centre - reach
    return Interval(p, low, 1.0 if hits == of else centre + reach)


def student_quantile(probability: float, freedom: float) -> float:
    """The t that Student's distribution stays below with a probability from one half to one.

    By bisection of ½ + ½·I(t²/(ν + t²); ½, ν/2), I the regularised incomplete beta function.
    """
    low, high = 0.0, 1.0
    while student(high, freedom) < probability and high < inf:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if student(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def student(t: float, freedom: float) -> float:
    """Probability that Student's distribution stays below t ≥ 0 (NIST DLMF 8.17)."""
    return (1 + _beta(t * t / (freedom + t * t), 0.5, freedom / 2)) / 2


def _beta(x: float, a: float, b: float) -> float:
    """I(x; a, b) by the continued fraction of NIST DLMF 8.17.22 (Lentz's method)."""
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    if x <= 0:
        return 0.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * value
