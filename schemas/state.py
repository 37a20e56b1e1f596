"""State as it travels and rests: integers that add, and maxima with a deterministic tie-break."""

from __future__ import annotations

import msgspec

# measure -> sum, of one UTC day; the measures are listed in `streams.core.journey`
Sums = dict[str, int]


class Promise(msgspec.Struct, omit_defaults=True):
    """What an order was promised and what became of it; epoch ms, 0 where unknown."""

    promised_ms: int = 0
    delivered_ms: int = 0
    cancelled_ms: int = 0
    known_ms: int = 0  # when the promise was first spoken of


class Mark(msgspec.Struct, array_like=True, frozen=True, order=True):
    """The latest of a kind: compared by time, then event id, then value."""

    at_ms: int
    event_id: str
    value: str


class Part(msgspec.Struct, omit_defaults=True):
    """What one anchor has told: an order-free sum over its touchpoints."""

    n: int = 0  # touchpoints counted
    visits: dict[int, int] = {}  # days since 1970 -> touchpoints of the customer's own doing
    days: dict[int, Sums] = {}  # day -> sums of what was said and bought; often there is none
    troubles: dict[int, Sums] = {}  # day -> sums of what cost the customer effort or patience
    contacts: dict[int, int] = {}  # day -> its last contact: 2 × ms of the day, + 1 if unresolved
    promises: dict[str, Promise] = {}  # order -> promise
    latest: dict[str, Mark] = {}  # kind of mark -> newest
    first_ms: int = 0
    last_ms: int = 0
    last_visit_ms: int = 0
    folded: bool = False  # days long past stand as blocks, under their first day


class AnchorState(msgspec.Struct, omit_defaults=True):
    """What resolve keeps of one identifier: its part, its customer, and what was counted."""

    part: Part = msgspec.field(default_factory=Part)
    customer: str = ""  # empty: the identifier is its own customer
    epoch: int = 0
    # customer it has left, empty for itself -> (epoch it left by, epoch it was told by or -1)
    left: dict[str, tuple[int, int]] = {}
    forgot: int = 0  # times that an erased identifier's name was dropped
    offset: int = -1  # last offset counted, of the topic's present incarnation
    seen: list[int] = []  # the newest event ids, 64 bits each, oldest first
    linked: dict[str, tuple[int, str]] = {}  # identifier -> earliest (ms, event id) announced


class PartUpdate(msgspec.Struct, frozen=True):
    """An anchor's whole part on its way to its customer; `part` None: it left that customer."""

    anchor: str
    customer: str
    epoch: int
    n: int
    part: Part | None
    received_ms: int = 0


def part_key(customer: str, anchor: str) -> bytes:
    """Kafka key of an anchor's part at a customer."""
    return f"{customer}\0{anchor}".encode()


def part_of_key(key: bytes) -> tuple[str, str]:
    """Customer and anchor of such a key."""
    customer, _, anchor = key.decode().partition("\0")
    return customer, anchor
