"""How every customer and account stands at a moment: stored parts, scored by the pure core."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
from clickhouse_driver import Client

from analytics.customers import StoredCustomer, customers
from schemas.outcome import AccountHealth, CustomerHealth
from schemas.state import Part
from streams.core.accounts import BANDS, roll_up
from streams.core.evidence import DAY_MS
from streams.core.health import Health
from streams.core.journey import unite
from streams.core.policy import Policy
from streams.core.stitch import assess, counted, row
from streams.core.value import Value

_decode = msgspec.json.Decoder(Part).decode
HISTORY = 30  # points of health's history


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer as of a moment. Touchpoints and health have a resolution of one UTC day."""

    customer: str
    identifiers: tuple[str, ...]
    touchpoints: int
    health: Health
    worth: Value | None
    part: Part
    as_of_ms: int

    def as_json(self) -> dict[str, object]:
        """The documented shape of a line of `journey customers --json`."""
        return {
            "customer": self.customer,
            "identifiers": list(self.identifiers),
            "touchpoints": self.touchpoints,
            "health": self.health.score,
            "sentiment": self.health.sentiment,
            "distress": self.health.distress,
        }

    def row(self, policy: Policy) -> CustomerHealth:
        """The same as the record that the stream publishes, without its memory of outreach."""
        return row(
            self.customer,
            self.part,
            len(self.identifiers),
            self.health,
            self.worth,
            {},
            self.as_of_ms,
            policy,
        )


@dataclass(frozen=True, slots=True)
class Point:
    """Health at the end of a day (since 1970), or as of now on the last one."""

    day: int
    health: int


def standing(stored: StoredCustomer, as_of_ms: int, policy: Policy) -> Standing:
    """One customer as of a moment (epoch ms)."""
    part = unite(_decode(text) for text in stored.parts.values())
    health, worth = assess(part, as_of_ms, policy)
    return Standing(
        stored.customer,
        stored.identifiers,
        counted(part, as_of_ms),
        health,
        worth,
        part,
        as_of_ms,
    )


def standings(client: Client, as_of_ms: int, policy: Policy) -> Iterator[Standing]:
    """Every customer seen by then, in order of id."""
    for stored in customers(client):
        found = standing(stored, as_of_ms, policy)
        if found.touchpoints:
            yield found


def history(one: Standing, policy: Policy) -> tuple[str, list[Point]]:
    """(`day` or `week`, health at the end of the last 30 of them), oldest first.

    Days for a customer known for 30 days or less, weeks for others; none before the first
    touchpoint. Nothing of it is stored: health is a function of the part and a moment.
    """
    today = one.as_of_ms // DAY_MS
    first = one.part.first_ms // DAY_MS if one.part.n else today
    step, name = (1, "day") if today - first < HISTORY else (7, "week")
    days = range(today - step * (HISTORY - 1), today, step)
    points = [
        Point(day, assess(one.part, (day + 1) * DAY_MS - 1, policy)[0].score)
        for day in days
        if day >= first
    ]
    return name, [*points, Point(today, one.health.score)]


def accounts(found: Iterable[Standing], policy: Policy) -> list[AccountHealth]:
    """Every account by its contacts, the one that needs attention first."""
    contacts: dict[str, list[CustomerHealth]] = defaultdict(list)
    for one in found:
        if "account" in one.part.latest:
            contact = one.row(policy)
            contacts[contact.account].append(contact)
    rolled = [roll_up(account, members, policy) for account, members in contacts.items()]
    standing_ = [account for account in rolled if account is not None]
    return sorted(standing_, key=lambda a: (BANDS.index(a.band), a.health, a.account))
