"""What keeps strangers apart: which identifiers may bridge, and which links win.

Each guard is a function of the set of links, so one that comes to hold late undoes what was
joined before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.outcome import Link
from streams.core.denial import is_denied
from streams.core.identifiers import rank_of, strength

# kind -> identifiers it may be seen with; beyond that it names no single person
FAN_OUT: Final[Mapping[str, int]] = MappingProxyType(
    {
        "customer": 10_000,
        **dict.fromkeys(("email", "phone"), 1_000),
        **dict.fromkeys(("order", "serial", "device", "cookie"), 100),
    }
)
# Things that people share or hand on: seen with two customers, they belong to neither. An order is
# not among them: it stays with whoever was seen with it first, and the other is a conflict.
SHARED: Final = frozenset({"device", "cookie", "serial"})


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits on gluing. `denied` holds normalised identifiers of our own, such as our phones."""

    fan_out: Mapping[str, int] = field(default_factory=lambda: FAN_OUT)
    shared: frozenset[str] = SHARED
    denied: frozenset[str] = frozenset()

    def denies(self, identifier: str) -> bool:
        """Whether the identifier may never be linked."""
        return is_denied(identifier) or identifier in self.denied


DEFAULT: Final = Guards()


class Order(NamedTuple):
    """Which of two bridges is considered first; the earlier one wins a conflict."""

    grade: int
    stronger: int = 0
    weaker: int = 0
    at_ms: int = 0
    event_id: str = ""


_ALIAS: Final = Order(0)  # an operator says that two customer ids are one person


def is_customer(identifier: str) -> bool:
    """Whether the identifier is a `customer` id, of which a customer has one."""
    return identifier.startswith("customer:")


def order_of_join(entry: Link) -> Order:
    """Operators before everything seen, the newest first."""
    if is_customer(entry.a) and is_customer(entry.b):
        return _ALIAS
    return Order(1, at_ms=-entry.occurred_ms, event_id=entry.event_id)


def order_of_seen(a: str, b: str, at_ms: int, event_id: str) -> Order:
    """The strongest kinds first, then the earliest evidence."""
    stronger, weaker = sorted((rank_of(a), rank_of(b)))
    return Order(2, stronger, weaker, at_ms, event_id)


Bridge = tuple[Order, str, str]


def components(nodes: Iterable[str], bridges: Iterable[Bridge]) -> dict[str, str]:
    """Each node's customer: the strongest identifier of those it is connected with.

    Bridges apply in their order (Kruskal 1956), except one that would put two `customer` ids into
    one component without an operator saying that they are one.
    """
    above = {node: node for node in nodes}
    strongest = dict(above)

    def top(node: str) -> str:
        while above[node] != node:
            above[node] = node = above[above[node]]
        return node

    for order, a, b in sorted(bridges):
        one, other = top(a), top(b)
        if one == other:
            continue
        names = strongest[one], strongest[other]
        if order != _ALIAS and is_customer(names[0]) and is_customer(names[1]):
            continue
        above[other] = one
        strongest[one] = min(names, key=strength)
    return {node: strongest[top(node)] for node in above}
