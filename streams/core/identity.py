"""Links to customers: a customer is a connected component of identifiers.

Its id is its strongest identifier, so it is a function of the set of links, never of their order,
and an identifier without links is its own customer.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.outcome import Link
from streams.core.identifiers import strength


class Identities:
    """The links known and the customer each identifier has by them."""

    def __init__(self) -> None:
        self.links: dict[str, dict[str, Link]] = {}  # identifier -> neighbour -> link
        self._customers: dict[str, str] = {}  # only those that differ from themselves

    def customer_of(self, identifier: str) -> str:
        """The identifier's customer; itself where nothing links it."""
        return self._customers.get(identifier, identifier)

    def learn(self, links: Iterable[Link]) -> dict[str, str]:
        """Add links; identifiers whose customer changed by them, with the new one.

        A link known already keeps the earliest evidence. Every component touched is recomputed
        once, in time linear in its links.
        """
        touched: dict[str, None] = {}
        for link in links:
            known = self.links.setdefault(link.a, {}).get(link.b)
            if known is not None and _evidence(known) <= _evidence(link):
                continue
            self.links[link.a][link.b] = link
            self.links.setdefault(link.b, {})[link.a] = link
            if known is None:
                touched[link.a] = None
        changed: dict[str, str] = {}
        placed: set[str] = set()
        for start in touched:
            if start in placed:
                continue
            component = self._component(start)
            placed |= component
            customer = min(component, key=strength)
            for identifier in component:
                if self.customer_of(identifier) != customer:
                    self._customers[identifier] = customer
                    changed[identifier] = customer
        return changed

    def _component(self, start: str) -> set[str]:
        found = {start}
        frontier = [start]
        while frontier:
            for neighbour in self.links.get(frontier.pop(), ()):
                if neighbour not in found:
                    found.add(neighbour)
                    frontier.append(neighbour)
        return found


def _evidence(link: Link) -> tuple[int, str]:
    return link.occurred_ms, link.event_id
