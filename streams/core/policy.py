"""What health and value depend on besides the state: weights, half-lives, bands, roles, model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

UNIT: Final = 1 << 16  # the weight of today; integers, so that sums do not depend on their order
_HALF_LIVES: Final = 6  # beyond which a weight is nothing
_HORIZON: Final = 10 * 365

# The one table of weights, in points where they sum to 100; docs/health.md says why these.
WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "sentiment": 20.0,
        "survey": 12.0,
        "effort": 18.0,
        "promises": 14.0,
        "resolution": 18.0,
        "engagement": 10.0,
        "recency": 8.0,
    }
)
ROLES: Final[Mapping[str, float]] = MappingProxyType(
    {"decision_maker": 3.0, "champion": 2.0, "user": 1.0}
)
CRITICAL: Final = frozenset({"decision_maker", "champion"})


@dataclass(frozen=True, slots=True)
class SpendModel:
    """Gamma-Gamma of one currency (Fader & Hardie 2013) and what counts as high value in it.

    `v` and `high` in minor units, as `amount_minor`.
    """

    p: float
    q: float
    v: float
    high: float  # CLV in minor units from which a customer counts as high value


@dataclass(frozen=True, slots=True)
class ValueModel:
    """BG/NBD (Fader, Hardie & Lee 2005) with time in units of `unit_days`.

    The default is the paper's CDNOW fit: a placeholder until `journey fit-value` has run.
    """

    r: float = 0.243
    alpha: float = 4.414
    a: float = 0.793
    b: float = 2.426
    unit_days: int = 7
    horizon_days: int = 365
    discount: float = 0.1  # a year
    spend: Mapping[str, SpendModel] = field(default_factory=dict)  # currency -> model


class Tables(NamedTuple):
    """What scoring looks up, derived from a policy. Weights by age in days, `UNIT` for today."""

    mood: tuple[int, ...]
    survey: tuple[int, ...]
    effort: tuple[int, ...]
    promise: tuple[int, ...]
    pain: tuple[int, ...]
    weights: Mapping[str, tuple[float, ...]]  # segment, "" for all others -> points by component


@dataclass(frozen=True)
class Policy:
    """What health depends on besides the state. Half-lives, windows and graces in days.

    `segments` maps a segment (see `core.value`) to the weights it overrides; weights are scaled to
    points, so that they need not sum to 100.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    segments: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    half_life: float = 30.0
    survey_half_life: float = 90.0
    effort_half_life: float = 7.0
    promise_half_life: float = 45.0
    distress_half_life: float = 4.0
    contact_window: int = 14
    promise_window: int = 90
    idle_floor: float = 7.0
    recency_grace: float = 14.0
    recency_half_life: float = 60.0
    red: int = 50  # health of at most this is red
    amber: int = 75
    roles: Mapping[str, float] = field(default_factory=lambda: ROLES)
    critical: frozenset[str] = CRITICAL
    value: ValueModel = field(default_factory=ValueModel)

    @cached_property
    def tables(self) -> Tables:
        """Derived once; scoring reads nothing else per day."""
        weights = {"": _points(self.weights, {})}
        for segment, overrides in self.segments.items():
            weights[segment] = _points(self.weights, overrides)
        return Tables(
            fading(self.half_life),
            fading(self.survey_half_life),
            fading(self.effort_half_life),
            fading(self.promise_half_life),
            fading(self.distress_half_life),
            weights,
        )

    def weights_of(self, segment: str) -> tuple[float, ...]:
        """Points of each component, in the order of `WEIGHTS`, for customers of a segment."""
        return self.tables.weights.get(segment) or self.tables.weights[""]

    def band(self, health: float) -> str:
        """`red`, `amber` or `green`."""
        return "red" if health <= self.red else "amber" if health <= self.amber else "green"


def _points(weights: Mapping[str, float], overrides: Mapping[str, float]) -> tuple[float, ...]:
    given = {**WEIGHTS, **weights, **overrides}
    whole = sum(given[name] for name in WEIGHTS)
    return tuple(100 * given[name] / whole for name in WEIGHTS)


@lru_cache(maxsize=64)
def fading(half_life: float) -> tuple[int, ...]:
    """Integer weights by age in days, `UNIT` today; the last is zero and stands for all older."""
    days = min(_HORIZON, int(_HALF_LIVES * half_life) + 1)
    return (*(round(UNIT * 2 ** (-age / half_life)) for age in range(days)), 0)
