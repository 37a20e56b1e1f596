"""Records of topics to columns of tables: the only place that knows both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import msgspec

from schemas import topics
from schemas.outcome import (
    Account,
    CustomerHealth,
    DeadLetter,
    JourneyStep,
    Link,
    Member,
    OutreachDecision,
    OutreachOutcome,
)

_TIME: Final = "DateTime64(3, 'UTC')"  # written as epoch milliseconds
_WORD: Final = "LowCardinality(String)"


class PartRow(msgspec.Struct, frozen=True):
    """`schemas.state.PartUpdate` with its part left as JSON; `null` where it left the customer."""

    anchor: str
    customer: str
    epoch: int
    n: int
    part: msgspec.Raw


def _uuids(values: Iterable[str]) -> list[UUID]:
    return msgspec.convert(list(values), list[UUID])


def _texts(values: Iterable[msgspec.Raw]) -> list[bytes]:
    return list(map(bytes, values))


def _versions(told: Iterable[dict[str, tuple[int, int]]]) -> list[dict[str, int]]:
    return [{account: version for account, (version, _) in one.items()} for one in told]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, which field of the record it holds, and how it is converted."""

    name: str
    type: str
    field: str
    convert: Callable[[Iterable[Any]], list[Any]] = list


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the sink writes it, from records of one kind.

    `keep`, where given, says which records become rows.
    """

    name: str
    record: type[msgspec.Struct]
    columns: tuple[Column, ...]
    keep: Callable[[Any], bool] | None = None

    def rows(self, records: Sequence[Any]) -> list[list[Any]]:
        """One list for each column, in order; clickhouse-driver takes the values unchecked."""
        if self.keep is not None:
            records = [record for record in records if self.keep(record)]
        return [column.convert(map(attrgetter(column.field), records)) for column in self.columns]


def _same(*columns: tuple[str, str]) -> tuple[Column, ...]:
    return tuple(Column(name, type_, name) for name, type_ in columns)


TOUCHPOINTS: Final = Table(
    "touchpoints",
    JourneyStep,
    (
        Column("anchor", "String", "anchor"),
        Column("occurred_at", _TIME, "occurred_ms"),
        Column("event_id", "UUID", "event_id", _uuids),
        *_same(
            ("channel", _WORD),
            ("type", _WORD),
            ("stage", _WORD),
            ("identifiers", "Array(String)"),
            ("account", "String"),
            ("text", "String"),
            ("language", _WORD),
            ("sentiment", "Int16"),
            ("distress", "UInt16"),
            ("scorer", _WORD),
            ("fields", f"Map({_WORD}, String)"),
            ("amount_minor", "Int64"),
            ("currency", _WORD),
            ("properties", "String"),
        ),
        Column("received_at", _TIME, "received_ms"),
    ),
)
PARTS: Final = Table(
    "parts",
    PartRow,
    (
        *_same(("anchor", "String"), ("customer", "String"), ("epoch", "UInt64"), ("n", "UInt64")),
        Column("part", "String", "part", _texts),
    ),
    keep=lambda row: bytes(row.part) != b"null",
)
IDENTITY_MEMBERS: Final = Table(
    "identity_members",
    Member,
    _same(("identifier", "String"), ("customer", "String"), ("epoch", "UInt64")),
)
IDENTITY_LINKS: Final = Table(
    "identity_links",
    Link,
    (
        *_same(("a", "String"), ("b", "String"), ("action", _WORD)),
        Column("event_id", "UUID", "event_id", _uuids),
        Column("occurred_at", _TIME, "occurred_ms"),
        *_same(("source", "String"), ("reason", "String")),
    ),
)
HEALTH: Final = Table(
    "health",
    CustomerHealth,
    (
        Column("customer", "String", "customer"),
        Column("evaluated_at", _TIME, "evaluated_ms"),
        *_same(
            ("identifiers", "UInt32"),
            ("touchpoints", "UInt64"),
            ("health", "Int16"),
            ("sentiment", "Int32"),
            ("distress", "Int32"),
            ("segment", _WORD),
            ("account", "String"),
            ("components", f"Map({_WORD}, Int64)"),
            ("reasons", "Array(String)"),
            ("reached", f"Map({_WORD}, {_TIME})"),
            ("causes", f"Map({_WORD}, Int64)"),
            ("reasons_fa", "Array(String)"),
            ("role", _WORD),
            ("review", "String"),
        ),
        Column("reviewed_at", _TIME, "review_ms"),
        *_same(
            ("purchases", "UInt32"),
            ("spend", f"Map({_WORD}, Int64)"),
            ("tenure", "UInt32"),
            ("alive", "Int32"),
            ("expected", "Int64"),
            ("currency", _WORD),
            ("clv_minor", "Int64"),
            ("gets", "Int16"),
            ("gives", "Int16"),
            ("holding", f"Map({_WORD}, {_TIME})"),
        ),
        Column("told", "Map(String, UInt64)", "told", _versions),
    ),
)
ACCOUNTS: Final = Table(
    "accounts",
    Account,
    (
        Column("account", "String", "account"),
        Column("evaluated_at", _TIME, "evaluated_ms"),
        *_same(
            ("health", "Int16"),
            ("band", _WORD),
            ("contacts", "UInt32"),
            ("bands", f"Map({_WORD}, UInt32)"),
            ("weakest", "String"),
            ("reasons", "Array(String)"),
            ("reasons_fa", "Array(String)"),
            ("reached", f"Map({_WORD}, {_TIME})"),
            ("holding", f"Map({_WORD}, {_TIME})"),
            ("past", "Map(UInt32, Int16)"),
        ),
    ),
)
OUTREACH: Final = Table(
    "outreach",
    OutreachDecision,
    (
        *_same(
            ("customer", "String"), ("decision_id", "String"), ("rule", _WORD), ("channel", _WORD)
        ),
        Column("decided_at", _TIME, "decided_ms"),
        *_same(("taken", "Bool"), ("why", "String"), ("health", "Int16"), ("distress", "Int32")),
        *_same(("suppressed_by", _WORD), ("detail", "String"), ("holdout", "Bool")),
        Column("due_at", _TIME, "due_ms"),
        Column("expires_at", _TIME, "expires_ms"),
        Column("requested_at", _TIME, "requested_ms"),
        *_same(("account", "String"), ("language", _WORD), ("subject", "String")),
        *_same(
            ("body", "String"), ("ways_out", f"Array({_WORD})"), ("identifiers", "Array(String)")
        ),
    ),
)
OUTCOMES: Final = Table(
    "outreach_outcomes",
    OutreachOutcome,
    (
        *_same(("customer", "String"), ("decision_id", "String"), ("rule", _WORD)),
        *_same(("channel", _WORD), ("status", _WORD)),
        Column("at", _TIME, "at_ms"),
        *_same(("attempts", "UInt32"), ("detail", "String"), ("version", "UInt32")),
    ),
)
DEAD_LETTERS: Final = Table(
    "dead_letters",
    DeadLetter,
    (
        *_same(("id", "String"), ("topic", _WORD), ("partition", "Int32"), ("offset", "Int64")),
        Column("received_at", _TIME, "received_ms"),
        *_same(("reason", _WORD), ("field", "String"), ("message", "String")),
        *_same(("cut", "UInt64"), ("raw", "String")),
    ),
)

# topic -> the table that its records are rows of. Identities come first, so that a reader who
# finds a touchpoint finds its customer too.
TOPIC_TABLES: Final[dict[str, Table]] = {
    topics.MEMBERS.name: IDENTITY_MEMBERS,
    topics.LINKS.name: IDENTITY_LINKS,
    topics.JOURNEYS.name: TOUCHPOINTS,
    topics.PARTS.name: PARTS,
    topics.CUSTOMERS.name: HEALTH,
    topics.ACCOUNTS.name: ACCOUNTS,
    topics.OUTREACH.name: OUTREACH,
    topics.OUTCOMES.name: OUTCOMES,
    topics.DEAD_LETTERS.name: DEAD_LETTERS,
}
TABLES: Final = tuple(TOPIC_TABLES.values())
