"""One customer's touchpoints in order, cut into sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from clickhouse_driver import Client

from analytics.ledger import MILLISECONDS

SESSION_GAP: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Moment:
    """A touchpoint of a timeline; fields as in `schemas.outcome.JourneyStep`."""

    occurred_at: datetime
    event_id: UUID
    anchor: str
    channel: str
    type: str
    stage: str
    account: str
    text: str
    language: str
    sentiment: int
    distress: int
    fields: dict[str, str]
    amount_minor: int
    currency: str
    properties: str


@dataclass(frozen=True, slots=True)
class Session:
    """Touchpoints of any channel with no longer pause between them than the gap."""

    started: datetime
    ended: datetime
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A customer as of now: the identifiers that belong to it, and its sessions, oldest first."""

    customer: str
    identifiers: tuple[str, ...]
    sessions: tuple[Session, ...]


_MEMBERS: Final = """
SELECT DISTINCT identifier FROM identity_members
PREWHERE customer = %(customer)s
WHERE dictGetOrDefault('customer_of', 'customer', identifier, identifier) = %(customer)s
ORDER BY identifier
"""
_MOMENTS: Final = f"""
SELECT {", ".join(field.name for field in fields(Moment))}
FROM touchpoints FINAL
WHERE anchor IN %(anchors)s AND {MILLISECONDS} <= %(until_ms)s
ORDER BY occurred_at DESC, event_id DESC
LIMIT %(newest)s
"""
# What the company wrote in a chat is not the customer's.
_SPOKEN: Final = """
SELECT countIf(startsWith(language, 'fa')), count()
FROM touchpoints FINAL
WHERE anchor IN %(anchors)s AND text != '' AND fields['direction'] != 'outbound'
"""
_EVER: Final = (1 << 53) - 1


def customer_of(client: Client, identifier: str) -> str:
    """The customer that `kind:value` belongs to; itself where nothing links it."""
    ask = "SELECT dictGetOrDefault('customer_of', 'customer', %(identifier)s, %(identifier)s)"
    return str(client.execute(ask, {"identifier": identifier})[0][0])


def identifiers_of(client: Client, customer: str) -> list[str]:
    """The identifiers that belong to a customer now, its own id among them, sorted.

    Members of old are filtered by the dictionary: rows that a merge has not removed are no harm.
    """
    members = {identifier for (identifier,) in client.execute(_MEMBERS, {"customer": customer})}
    return sorted(members | {customer})


def timeline(
    client: Client,
    identifier: str,
    *,
    newest: int = 1_000,
    gap: timedelta = SESSION_GAP,
    until_ms: int | None = None,
) -> Timeline:
    """The newest touchpoints of the customer that a normalised `kind:value` belongs to.

    None later than `until_ms` (epoch ms) where it is given.
    """
    customer = customer_of(client, identifier)
    identifiers = identifiers_of(client, customer)
    asked = {
        "anchors": tuple(identifiers),
        "newest": newest,
        "until_ms": _EVER if until_ms is None else until_ms,
    }
    rows = client.execute(_MOMENTS, asked)
    moments = [Moment(*row) for row in reversed(rows)]
    return Timeline(customer, tuple(identifiers), tuple(sessions(moments, gap)))


def spoken(client: Client, identifiers: Sequence[str]) -> Literal["en", "fa"]:
    """The language of most of a customer's texts: Persian in either script, else English."""
    persian, texts = client.execute(_SPOKEN, {"anchors": tuple(identifiers)})[0]
    return "fa" if 2 * persian > texts else "en"


def sessions(moments: Iterable[Moment], gap: timedelta = SESSION_GAP) -> list[Session]:
    """Cut moments, in order of time, wherever more than `gap` passes."""
    runs: list[list[Moment]] = []
    for moment in moments:
        if not runs or moment.occurred_at - runs[-1][-1].occurred_at > gap:
            runs.append([])
        runs[-1].append(moment)
    return [_session(run) for run in runs]


def _session(run: Sequence[Moment]) -> Session:
    return Session(run[0].occurred_at, run[-1].occurred_at, tuple(run))
