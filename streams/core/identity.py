"""Links to customers: a customer is a connected component of identifiers, under guards.

Its id is its strongest identifier. Which identifiers are one customer's is a function of the set
of links and operators' entries, never of their order; `tests/oracle.py` says it in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec

from schemas.outcome import Link
from streams.core.guards import DEFAULT, Bridge, Guards, Order, components, is_customer
from streams.core.identifiers import strength
from streams.core.links import Change, Links


class Conflict(msgspec.Struct, frozen=True):
    """A link not applied: its ends stay with two customers."""

    link: Link
    customer_a: str  # of `link.a`
    customer_b: str


class Forgotten(msgspec.Struct, frozen=True):
    """What forgetting identifiers did to the links and to other identifiers.

    `freed` were seen with one of them and with others, so they joined nobody; the links that are
    left give them to somebody. What is kept under them may be of whoever was forgotten.
    """

    links: list[Link]  # dropped
    customers: dict[str, str]  # of all whose customer changed
    freed: list[str]


class Identities:
    """The customer each identifier has by the links known.

    A bridge whose ends belong to different customers is a conflict: each side has a `customer` id
    of its own.
    """

    def __init__(self, guards: Guards = DEFAULT) -> None:
        self.links = Links(guards)
        self._customers: dict[str, str] = {}  # only those that differ from themselves
        self._contested: set[str] = set()  # customers with a conflict

    def customer_of(self, identifier: str) -> str:
        """The identifier's customer; itself where nothing links it."""
        return self._customers.get(identifier, identifier)

    def elsewhere(self) -> Mapping[str, str]:
        """Every identifier that belongs to another's customer, and that customer."""
        return self._customers

    def learn(self, links: Iterable[Link]) -> dict[str, str]:
        """Add links and entries; every identifier whose customer changed, with the new one.

        One whose customer changed and changed back meanwhile is among them, so that whatever was
        told after a part of `links` is put right. A link that fits costs O(members) of the side
        that takes the other's name; one that trips a guard or a conflict, O(b log b) of the b
        bridges connected with it.
        """
        changed: dict[str, str] = {}
        for link in links:
            change, ends = self.links.add(link)
            if change is Change.BRIDGE:
                self._connect(link.a, link.b, changed)
            elif change is Change.SEVERAL:
                self._rework(ends, changed)
        return changed

    def forget(self, identifiers: Collection[str]) -> Forgotten:
        """Drop all that links the identifiers, as if they had never been seen."""
        for identifier in identifiers:
            self._contested.discard(self.customer_of(identifier))
        alone = {
            other
            for identifier in identifiers
            for other in self.links.seen_with(identifier)
            if self.links.is_overstretched(other) and self.members(other) == [other]
        }
        links, others, freed = self.links.forget(identifiers)
        for identifier in identifiers:
            self._customers.pop(identifier, None)
        changed: dict[str, str] = {}
        self._rework(self.links.ends_at(freed) | set(others), changed)
        return Forgotten(
            links=links,
            customers=changed,
            freed=[i for i in freed if i in alone and self.members(i) != [i]],
        )

    def conflicts(self) -> list[Conflict]:
        """Every bridge that is not applied."""
        return self.conflicts_of(m for customer in self._contested for m in self.members(customer))

    def conflicts_of(self, identifiers: Iterable[str]) -> list[Conflict]:
        """The conflicts that have an end among the identifiers."""
        pairs = {
            (min(one, other), max(one, other))
            for one in identifiers
            for other in self.links.across(one)
            if self.customer_of(one) != self.customer_of(other)
        }
        return [
            Conflict(self.links.bridge(a, b), self.customer_of(a), self.customer_of(b))
            for a, b in sorted(pairs)
        ]

    def members(self, identifier: str) -> list[str]:
        """The identifiers of its customer."""
        customer = self.customer_of(identifier)
        return self._reach((identifier,), lambda other: self.customer_of(other) == customer)

    def bridges(self, nodes: Iterable[str]) -> Iterator[Bridge]:
        """Bridges that have both ends among the nodes, conflicts included."""
        among = set(nodes)
        for node in among:
            for other in self.links.across(node):
                if node < other and other in among:
                    yield self.links.order(node, other), node, other

    def _connect(self, a: str, b: str, changed: dict[str, str]) -> None:
        """Join two customers by a bridge that is new, or earlier in order than it was."""
        names = self.customer_of(a), self.customer_of(b)
        if names[0] == names[1]:
            return  # within a customer no order of bridges makes a difference
        if is_customer(names[0]) and is_customer(names[1]):
            order = self.links.order(a, b)
            if self._was_before(a, order) and self._was_before(b, order):
                self._contested.update(names)
            else:
                self._rework((a, b), changed)
            return
        # At most one side has a `customer` id, so no conflict can arise or be settled by this.
        winner, loser = sorted(names, key=strength)
        end = a if names[0] == loser else b
        for member in (end,) if self.links.is_leaf(end) else self.members(end):
            self._assign(member, winner, changed)

    def _was_before(self, identifier: str, order: Order) -> bool:
        """Whether a bridge earlier than `order` surely made the identifier its customer's."""
        customer = self.customer_of(identifier)
        return identifier == customer or (
            self.links.is_bridge(identifier, customer)
            and self.links.order(identifier, customer) < order
        )

    def _rework(self, ends: Iterable[str], changed: dict[str, str]) -> None:
        """Recompute all that is connected with the ends of bridges that came, went or moved."""
        nodes = self._reach(ends)
        bridges = list(self.bridges(nodes))
        placed = components(nodes, bridges)
        self._contested.difference_update([self.customer_of(node) for node in nodes])
        for node, customer in placed.items():
            if customer != self.customer_of(node):
                self._assign(node, customer, changed)
        for _, a, b in bridges:
            if placed[a] != placed[b]:
                self._contested.update((placed[a], placed[b]))

    def _assign(self, identifier: str, customer: str, changed: dict[str, str]) -> None:
        if identifier == customer:
            self._customers.pop(identifier, None)
        else:
            self._customers[identifier] = customer
        changed[identifier] = customer

    def _reach(
        self, starts: Iterable[str], within: Callable[[str], bool] | None = None
    ) -> list[str]:
        """Identifiers connected with the starts by bridges whose ends pass `within`."""
        found = dict.fromkeys(starts)
        frontier = list(found)
        while frontier:
            for other in self.links.across(frontier.pop()):
                if other not in found and (within is None or within(other)):
                    found[other] = None
                    frontier.append(other)
        return list(found)
