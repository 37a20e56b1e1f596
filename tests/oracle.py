"""The truth in one piece: touchpoints and operators' entries to customers and their states.

Plain batch computation, for clarity only: no increments, no order of arrival, no cleverness. What
the pipeline says after any history must equal what this says of the same facts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.outcome import AccountHealth, Action, CustomerHealth, JourneyStep, Link
from schemas.state import Part
from streams.core.accounts import roll_up
from streams.core.guards import DEFAULT, Guards
from streams.core.identifiers import PRECEDENCE, strength
from streams.core.journey import apply, unite
from streams.core.policy import Policy
from streams.core.stitch import assess, row

Pair = tuple[str, str]


@dataclass(frozen=True)
class Truth:
    """`customers`: identifier -> customer; `conflicts`: pairs that would join two customers."""

    customers: dict[str, str]
    conflicts: set[Pair]


def links_of(steps: Iterable[JourneyStep]) -> list[Link]:
    """What each touchpoint says: its anchor is the same person as its other identifiers."""
    return [
        Link(min(pair), max(pair), step.event_id, step.occurred_ms, step.channel)
        for step in steps
        for pair in ((step.anchor, other) for other in step.identifiers)
        if pair[0] != pair[1] and not pair[1].endswith(":denied")
    ]


def identities(links: Iterable[Link], guards: Guards = DEFAULT) -> Truth:
    """Customers by a set of links and operators' entries."""
    links = [
        link
        for link in links
        if not any(i.endswith(":denied") or i in guards.denied for i in (link.a, link.b))
    ]
    identifiers = {end for link in links for end in (link.a, link.b)}
    entries = newest_entries(links)
    seen = {
        pair: evidence
        for pair, evidence in earliest_evidence(links).items()
        if pair not in entries or entries[pair].action is Action.JOIN
    }
    joins = [entry for entry in entries.values() if entry.action is Action.JOIN]
    aliases = [{link.a, link.b} for link in joins if is_customer(link.a) and is_customer(link.b)]

    seen_with = defaultdict(set)
    for a, b in seen:
        seen_with[a].add(b)
        seen_with[b].add(a)
    stretched = set()
    for identifier, others in seen_with.items():
        kind = identifier.split(":")[0]
        owners = people({other for other in others if is_customer(other)}, aliases)
        if len(others) > guards.fan_out[kind] or (kind in guards.shared and len(owners) > 1):
            stretched.add(identifier)

    bridges: list[Pair] = []
    bridges += sorted((e.a, e.b) for e in joins if {e.a, e.b} in aliases)
    newest_first = sorted(joins, key=lambda e: (-e.occurred_ms, e.event_id, e.a, e.b))
    bridges += [(e.a, e.b) for e in newest_first if {e.a, e.b} not in aliases]
    allowed = [pair for pair in seen if pair not in entries and not stretched & set(pair)]
    bridges += sorted(allowed, key=lambda pair: (*ranks(pair), seen[pair], pair))

    groups = [{identifier} for identifier in identifiers]
    conflicts = []
    for a, b in bridges:
        one = next(group for group in groups if a in group)
        other = next(group for group in groups if b in group)
        if one is other:
            continue
        if {a, b} not in aliases and has_customer(one) and has_customer(other):
            conflicts.append((a, b))
            continue
        groups.remove(other)
        one |= other
    customers = {i: min(group, key=strength) for group in groups for i in group}
    return Truth(customers, set(conflicts))


def states(steps: Iterable[JourneyStep], customers: dict[str, str]) -> dict[str, Part]:
    """Each customer's state: all its touchpoints, each once, counted one after another.

    By anchor, since what is kept of very many touchpoints is bounded by anchor.
    """
    once = {(step.anchor, step.event_id): step for step in steps}
    parts: dict[str, Part] = defaultdict(Part)
    for _, step in sorted(once.items()):
        apply(parts[step.anchor], step)
    found: dict[str, list[Part]] = defaultdict(list)
    for anchor, part in parts.items():
        found[customers.get(anchor, anchor)].append(part)
    return {customer: unite(of) for customer, of in found.items()}


def accounts(states: Mapping[str, Part], now_ms: int, policy: Policy) -> dict[str, AccountHealth]:
    """Each account's health from the states of all customers."""
    contacts: dict[str, list[CustomerHealth]] = defaultdict(list)
    for customer, part in states.items():
        health, worth = assess(part, now_ms, policy)
        contact = row(customer, part, 1, health, worth, {}, now_ms, policy)
        if contact.account:
            contacts[contact.account].append(contact)
    rolled = {name: roll_up(name, members, policy) for name, members in contacts.items()}
    return {name: health for name, health in rolled.items() if health is not None}


def newest_entries(links: Iterable[Link]) -> dict[Pair, Link]:
    entries: dict[Pair, Link] = {}
    for link in links:
        if link.action is not Action.SEEN:
            known = entries.get((link.a, link.b), link)
            moments = (link.occurred_ms, link.event_id), (known.occurred_ms, known.event_id)
            entries[link.a, link.b] = link if moments[0] >= moments[1] else known
    return entries


def earliest_evidence(links: Iterable[Link]) -> dict[Pair, tuple[int, str]]:
    found: dict[Pair, tuple[int, str]] = {}
    for link in links:
        if link.action is Action.SEEN:
            evidence = link.occurred_ms, link.event_id
            found[link.a, link.b] = min(evidence, found.get((link.a, link.b), evidence))
    return found


def people(customers: set[str], aliases: list[set[str]]) -> list[set[str]]:
    """Customers, those that aliases connect as one."""
    groups = [{customer} for customer in customers.union(*aliases)]
    for alias in aliases:
        whole = set().union(*(group for group in groups if group & alias))
        groups = [group for group in groups if not group & alias] + [whole]
    return [group for group in groups if group & customers]


def is_customer(identifier: str) -> bool:
    return identifier.startswith("customer:")


def has_customer(group: set[str]) -> bool:
    return any(is_customer(identifier) for identifier in group)


def ranks(pair: Pair) -> list[int]:
    return sorted(PRECEDENCE[identifier.split(":")[0]] for identifier in pair)
