"""Why an identifier belongs to the customer it belongs to, for people who have to judge it."""

from __future__ import annotations

import msgspec

from schemas.outcome import Action, Link
from streams.core.identifiers import strength
from streams.core.identity import Conflict, Identities


class Explanation(msgspec.Struct, frozen=True):
    """An identifier's customer with all that was seen and decided about it."""

    identifier: str
    customer: str
    members: list[str]  # identifiers of the customer, strongest first
    links: list[Link]  # what holds them together, seen or joined, in no order of merit
    conflicts: list[Conflict]  # what would join them with another customer, and was not applied
    withdrawn: list[Link]  # operators' withdrawals on members
    not_bridging: dict[str, str]  # member, or seen with one -> why it joins nobody


def explain(identities: Identities, identifier: str) -> Explanation:
    """Everything that decides the identifier's customer."""
    members = sorted(identities.members(identifier), key=strength)
    around = {other for member in members for other in identities.links.seen_with(member)}
    withdrawn = {
        entry
        for member in members
        for entry in identities.links.entries(member)
        if entry.action is Action.WITHDRAW
    }
    return Explanation(
        identifier=identifier,
        customer=identities.customer_of(identifier),
        members=members,
        links=[identities.links.bridge(a, b) for _, a, b in sorted(identities.bridges(members))],
        conflicts=identities.conflicts_of(members),
        withdrawn=sorted(withdrawn, key=lambda entry: entry.key()),
        not_bridging={
            stretched: _why(identities, stretched)
            for stretched in sorted(around.union(members), key=strength)
            if identities.links.is_overstretched(stretched)
        },
    )


def _why(identities: Identities, identifier: str) -> str:
    rivals = identities.links.rivals(identifier)
    if len(rivals) > 1:
        return f"shared by {', '.join(rivals[:5])}" + (" and others" if len(rivals) > 5 else "")
    count = len(identities.links.seen_with(identifier))
    return f"seen with {count} identifiers, too many for one person"
