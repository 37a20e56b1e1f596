"""Records that no contract should let through, one of each kind a producer gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.encode


def malformed(touchpoint: dict[str, Any], rng: Random) -> bytes:
    """A touchpoint broken in one of nine ways, as raw bytes. No raw personal data stays in it."""
    anonymous = [{"kind": "cookie", "value": f"{rng.getrandbits(64):016x}"}]
    given = {**touchpoint, "identifiers": anonymous}
    return FAULTS[int(rng.random() * len(FAULTS))](given)


def _without(touchpoint: dict[str, Any], field: str) -> bytes:
    return _encode({name: value for name, value in touchpoint.items() if name != field})


FAULTS: Final[tuple[Callable[[dict[str, Any]], bytes], ...]] = (
    lambda touchpoint: _encode(touchpoint)[:-20],
    lambda touchpoint: _encode({**touchpoint, "event_id": 42}),
    lambda touchpoint: _encode({**touchpoint, "properties": ["not", "an", "object"]}),
    lambda touchpoint: _encode({**touchpoint, "channel": "telepathy"}),
    lambda touchpoint: _encode({**touchpoint, "occurred_at": "2026-11-01T10:00:00"}),
    lambda touchpoint: _encode({**touchpoint, "occurred_at": "2999-01-01T00:00:00Z"}),
    lambda touchpoint: _without(touchpoint, "identifiers"),
    lambda touchpoint: _without(touchpoint, "occurred_at"),
    lambda touchpoint: _encode({**touchpoint, "colour": "blue"}),
)
