"""Distress: a noisy-or over named causes, 1 − Π(1 − pᵢ) (Pearl 1988), each fading with age.

Evidence adds in nats, −ln(1 − pᵢ), so that touchpoints may come in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from typing import Final

from streams.core.policy import UNIT

_NAT: Final = 1e6 * UNIT
_WORTH_SAYING: Final = 0.05  # nats


def noisy_or(nats: Mapping[str, int]) -> int:
    """Distress 0..1000 from each cause's faded micro-nats (`evidence.Evidence.nats`)."""
    return round(1000 * (1 - exp(-sum(nats.values()) / _NAT)))


def causes(nats: Mapping[str, int]) -> dict[str, int]:
    """Each cause worth saying with its own probability in milli-units, strongest first."""
    if not nats:
        return {}
    ranked = sorted(nats.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        cause: round(1000 * (1 - exp(-value / _NAT)))
        for cause, value in ranked
        if value >= _WORTH_SAYING * _NAT
    }
