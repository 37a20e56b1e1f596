"""What was seen and what operators entered, and which bridges between identifiers follow from it.

A *bridge* is what may hold a customer together: a link that is not withdrawn, between identifiers
that are not overstretched; or an operator's join.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from enum import Enum, auto

import msgspec

from schemas.outcome import Action, Link
from streams.core.guards import Guards, Order, is_customer, order_of_join, order_of_seen


class Evidence(msgspec.Struct, frozen=True, gc=False, order=True):
    """The earliest touchpoint on which two identifiers were seen."""

    occurred_ms: int
    event_id: str
    source: str


class Change(Enum):
    """What a link changes of the bridges."""

    NOTHING = auto()
    BRIDGE = auto()  # the link is a new one, or one with earlier evidence than it had
    SEVERAL = auto()  # bridges came or went


class Links:
    """Every link and operator's entry known, by identifier."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards
        self._seen: dict[str, dict[str, Evidence]] = {}  # both ways
        self._entries: dict[str, dict[str, Link]] = {}  # both ways; the newest of each pair
        self._overstretched: set[str] = set()  # shared, or seen with too many

    def known(self) -> int:
        """Identifiers seen with another."""
        return len(self._seen)

    def add(self, link: Link) -> tuple[Change, Collection[str]]:
        """Take a link or an entry; what it changes, and the ends of the bridges concerned."""
        denies = self._guards.denies
        if link.a == link.b or denies(link.a) or denies(link.b):
            return Change.NOTHING, ()
        return self._see(link) if link.action is Action.SEEN else self._enter(link)

    def record(self, key: str) -> Link | None:
        """What counts under a link's key: the earliest evidence, the newest entry."""
        a, b, *operator = key.split("\0")
        if operator:
            return self._entries.get(a, {}).get(b)
        evidence = self._seen.get(a, {}).get(b)
        return None if evidence is None else _seen_link(a, b, evidence)

    def of(self, identifier: str) -> list[Link]:
        """Every link and entry that names an identifier, withdrawn or not."""
        seen = self._seen.get(identifier, {})
        links = [
            _seen_link(min(identifier, other), max(identifier, other), evidence)
            for other, evidence in seen.items()
        ]
        return links + list(self.entries(identifier))

    def forget(self, identifiers: Collection[str]) -> tuple[list[Link], list[str], list[str]]:
        """Drop every link and entry that names one of the identifiers.

        Returns what was dropped, the other ends of it, and those of them that are not
        overstretched any more.
        """
        dropped: dict[str, Link] = {}
        others: set[str] = set()
        for identifier in identifiers:
            for link in self.of(identifier):
                dropped[link.key()] = link
                others.update((link.a, link.b))
            for known in (self._seen, self._entries):
                for other in known.pop(identifier, ()):
                    rest: dict[str, object] = known.get(other, {})  # type: ignore[assignment]
                    rest.pop(identifier, None)
                    if not rest:
                        known.pop(other, None)
            self._overstretched.discard(identifier)
        others.difference_update(identifiers)
        freed = [other for other in sorted(others) if self._check(other)]
        return list(dropped.values()), sorted(others), freed

    def across(self, identifier: str) -> list[str]:
        """The other ends of an identifier's bridges."""
        seen = self._seen.get(identifier, {})
        entries = self._entries.get(identifier)
        others = seen.keys() | entries.keys() if entries else seen
        return [other for other in others if self.is_bridge(identifier, other)]

    def is_bridge(self, a: str, b: str) -> bool:
        """Whether a bridge joins the two directly."""
        entry = self._entries[a].get(b) if a in self._entries else None
        if entry is not None:
            return entry.action is Action.JOIN
        stretched = self._overstretched
        return a not in stretched and b not in stretched and b in self._seen.get(a, ())

    def bridge(self, a: str, b: str) -> Link:
        """What a bridge rests on; KeyError where there is none."""
        entry = self._entries[a].get(b) if a in self._entries else None
        return entry or _seen_link(min(a, b), max(a, b), self._seen[a][b])

    def order(self, a: str, b: str) -> Order:
        """The place of a bridge among all; KeyError where there is none."""
        entry = self._entries[a].get(b) if a in self._entries else None
        if entry is not None:
            return order_of_join(entry)
        evidence = self._seen[a][b]
        return order_of_seen(a, b, evidence.occurred_ms, evidence.event_id)

    def seen_with(self, identifier: str) -> Collection[str]:
        """Identifiers it was seen with, but for links withdrawn."""
        seen = self._seen.get(identifier, {})
        entries = self._entries.get(identifier)
        return [o for o in seen if not _is_withdrawn(entries, o)] if entries else seen.keys()

    def entries(self, identifier: str) -> Collection[Link]:
        """Operators' entries on an identifier that hold now."""
        return self._entries.get(identifier, {}).values()

    def rivals(self, identifier: str) -> list[str]:
        """The `customer` ids it was seen with; those an operator joined count as one."""
        return sorted({min(self._aliases(o)) for o in self.seen_with(identifier) if is_customer(o)})

    def is_overstretched(self, identifier: str) -> bool:
        """Whether it was seen with too many, or with two customers, to bridge any longer."""
        return identifier in self._overstretched

    def is_leaf(self, identifier: str) -> bool:
        """Whether it was seen with one other only and is no `customer` id itself."""
        alone = len(self._seen.get(identifier, ())) == 1 and identifier not in self._entries
        return alone and not is_customer(identifier)

    def ends_at(self, identifiers: Iterable[str]) -> set[str]:
        """The identifiers and all that they were seen with."""
        return {end for i in identifiers for end in (i, *self._seen.get(i, ()))}

    def _see(self, link: Link) -> tuple[Change, Collection[str]]:
        known = self._seen.get(link.a, {}).get(link.b)
        evidence = Evidence(link.occurred_ms, link.event_id, sys.intern(link.source))
        if known is not None and known <= evidence:
            return Change.NOTHING, ()
        # One object per identifier, however many links name it.
        a, b = sys.intern(link.a), sys.intern(link.b)
        with_a, with_b = self._seen.setdefault(a, {}), self._seen.setdefault(b, {})
        with_a[b] = with_b[a] = evidence
        stretched = [
            identifier
            for identifier, others in ((a, with_a), (b, with_b))
            if len(others) > 1 and identifier not in self._overstretched and self._check(identifier)
        ]
        if stretched:
            return Change.SEVERAL, self.ends_at(stretched)
        return (Change.BRIDGE if self.is_bridge(a, b) else Change.NOTHING), (a, b)

    def _enter(self, entry: Link) -> tuple[Change, Collection[str]]:
        known = self._entries.get(entry.a, {}).get(entry.b)
        if known is not None and _moment(known) >= _moment(entry):
            return Change.NOTHING, ()
        a, b = sys.intern(entry.a), sys.intern(entry.b)
        suspects = {a, b}
        aliases = self._aliases(a) | self._aliases(b)
        self._entries.setdefault(a, {})[b] = entry
        self._entries.setdefault(b, {})[a] = entry
        if is_customer(a) and is_customer(b):
            # Things seen with both become theirs alone, or shared again.
            aliases |= self._aliases(a) | self._aliases(b)
            suspects.update(other for customer in aliases for other in self._seen.get(customer, ()))
        flipped = [identifier for identifier in suspects if self._check(identifier)]
        return Change.SEVERAL, {a, b} | self.ends_at(flipped)

    def _check(self, identifier: str) -> bool:
        """Find out whether the identifier is overstretched; say whether that is news."""
        kind = identifier.partition(":")[0]
        over = len(self.seen_with(identifier)) > self._guards.fan_out[kind] or (
            kind in self._guards.shared and len(self.rivals(identifier)) > 1
        )
        if over == (identifier in self._overstretched):
            return False
        self._overstretched ^= {identifier}
        return True

    def _aliases(self, customer: str) -> set[str]:
        """The `customer` ids that operators joined with one, itself included."""
        found = {customer}
        frontier = [customer]
        while frontier:
            for entry in self.entries(frontier.pop()):
                for other in (entry.a, entry.b):
                    if entry.action is Action.JOIN and is_customer(other) and other not in found:
                        found.add(other)
                        frontier.append(other)
        return found


def merge(known: Link, news: Link) -> Link:
    """Of two records of one key, the one that counts, as `Links.kept` of both."""
    if news.action is Action.SEEN:
        return min(known, news, key=lambda link: (link.occurred_ms, link.event_id, link.source))
    return max(known, news, key=_moment)


def _seen_link(a: str, b: str, evidence: Evidence) -> Link:
    return Link(a, b, evidence.event_id, evidence.occurred_ms, evidence.source)


def _moment(entry: Link) -> tuple[int, str]:
    return entry.occurred_ms, entry.event_id


def _is_withdrawn(entries: Mapping[str, Link], other: str) -> bool:
    entry = entries.get(other)
    return entry is not None and entry.action is Action.WITHDRAW
