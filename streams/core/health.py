"""Health of a customer: a pure function of its state and a moment, with its reasons.

Health = Σ wᵢ·vᵢ / Σ wᵢ, each vᵢ in 0..1, as customer-success scorecards weigh it; no published
weights validated against churn were found (docs/health.md), so they are settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter, mul
from typing import Final, NamedTuple

import msgspec

from schemas.state import Part
from streams.core import distress
from streams.core.components import NEUTRAL, WHY, values, why_moved
from streams.core.evidence import Evidence, gather
from streams.core.phrases import Language, Phrase, named, sentence
from streams.core.policy import Policy

__all__ = ["Component", "Health", "Policy", "change", "changes", "score", "sentences"]

NAMES: Final = tuple(NEUTRAL)
_NEUTRAL: Final = tuple(NEUTRAL.values())
_SAYABLE: Final = 0.5  # points; less is rounded away
_DEFAULT: Final = Policy()
Cost = tuple[float, list[Phrase]]  # points of health lost, and why


class Component(NamedTuple):
    """One component: `value` 0..1, `weight` and `contribution` in points of health.

    `effect` is the points it stands above or below where it would be without evidence.
    """

    name: str
    value: float
    weight: float
    contribution: float
    effect: float
    why: tuple[Phrase, ...]


class Health(msgspec.Struct, frozen=True, gc=False):
    """`score` 0..100; `sentiment` −1000..1000 and `distress` 0..1000 milli-units."""

    score: int
    sentiment: int
    distress: int
    values: tuple[float, ...]
    weights: tuple[float, ...]
    evidence: Evidence

    @property
    def components(self) -> tuple[Component, ...]:
        """Every component; the contributions sum to the score but for rounding."""
        return tuple(
            Component(n, v, w, v * w, (v - neutral) * w, tuple(WHY[n](self.evidence)))
            for n, v, w, neutral in zip(NAMES, self.values, self.weights, _NEUTRAL, strict=True)
        )

    @property
    def contributions(self) -> dict[str, int]:
        """Points of every component in thousandths, without saying why."""
        points = map(mul, self.values, self.weights)
        return dict(zip(NAMES, [round(1000 * each) for each in points], strict=True))

    @property
    def causes(self) -> dict[str, int]:
        """Distress's causes with their own probabilities in milli-units, strongest first."""
        return distress.causes(self.evidence.nats)

    def distressed_by(self, language: Language = "en") -> list[str]:
        """Distress's causes in words, strongest first."""
        return [named(cause, language) for cause in self.causes]

    def reasons(self, most: int = 3, language: Language = "en") -> list[str]:
        """The components that cost the most, a sentence each, such as `−9: waited 21 minutes`."""
        return sentences(self.costs(most), language)

    def costs(self, most: int = 3) -> list[Cost]:
        """What costs the most against no evidence, the costliest first; each says why."""
        fallen = [
            ((value - neutral) * weight, name)
            for name, value, weight, neutral in zip(
                NAMES, self.values, self.weights, _NEUTRAL, strict=True
            )
            if value < neutral
        ]
        if len(fallen) > 1:
            fallen.sort(key=itemgetter(0))
        costs: list[Cost] = []
        for points, name in fallen:
            if points > -_SAYABLE or len(costs) == most:
                break
            if why := WHY[name](self.evidence):
                costs.append((points, why[:2]))
        return costs


def sentences(costs: Iterable[Cost], language: Language = "en") -> list[str]:
    """A sentence for each of `Health.costs`."""
    return [sentence(points, why, language) for points, why in costs]


def score(part: Part, as_of_ms: int, policy: Policy = _DEFAULT, segment: str = "") -> Health:
    """Health as of a moment (epoch ms), by the weights of a segment.

    Sums have a resolution of one UTC day: touchpoints of later days are ignored.
    """
    evidence = gather(part, as_of_ms, policy)
    parts = values(evidence, policy)
    weights = policy.weights_of(segment)
    nats = evidence.nats
    return Health(
        round(sum(map(mul, parts, weights))),
        round(2000 * parts[0] - 1000),  # sentiment is the first component
        distress.noisy_or(nats) if nats else 0,
        parts,
        weights,
        evidence,
    )


def changes(before: Health, after: Health, language: Language = "en") -> list[str]:
    """What moved health from one moment to another: a sentence a component, the largest first."""
    return [
        sentence(points, why_moved(name, points, before.evidence, after.evidence)[:2], language)
        for points, name in _moves(before, after)
        if abs(points) >= _SAYABLE
    ]


def change(before: Health, after: Health, language: Language = "en") -> str:
    """The whole change in one sentence, such as `−14: third call in 5 days, unresolved`.

    It names the two components that moved furthest the way health went; empty where it stood.
    """
    points = after.score - before.score
    if not points:
        return ""
    moved = {
        name: by
        for by, name in _moves(before, after)
        if by * points > 0 and abs(by) >= abs(points) / 5
    }
    if "engagement" in moved:
        moved.pop("recency", None)  # the same silence
    named = sorted(list(moved)[:2], key=NAMES.index)
    why = [why_moved(name, moved[name], before.evidence, after.evidence)[0] for name in named]
    return sentence(points, list(dict.fromkeys(why)) or [("fading", ())], language)


def _moves(before: Health, after: Health) -> list[tuple[float, str]]:
    """(Points a component moved, its name), the furthest first."""
    moves = [
        (value * weight - known * before_weight, name)
        for name, value, weight, known, before_weight in zip(
            NAMES, after.values, after.weights, before.values, before.weights, strict=True
        )
    ]
    return sorted(moves, key=lambda move: (-abs(move[0]), move[1]))
