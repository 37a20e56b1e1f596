"""Rows of live state replaced by hand, in a way that the next of the pipeline's own win again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from clickhouse_driver import Client

from schemas.outcome import Account, CustomerHealth, Member
from schemas.state import Part
from sinks.rows import ACCOUNTS, HEALTH, IDENTITY_MEMBERS, PARTS, PartRow
from sinks.shards import rows_of
from sinks.writer import ClickHouseWriter

# Below any epoch of the identity agent, so that whatever the workers send next is newer.
_EPOCH: Final = 0
_NOW: Final = {"mutations_sync": 2}
_encode: Final = msgspec.json.Encoder().encode


def replace_members(client: Client, customers: Mapping[str, str | None]) -> None:
    """Set the customers of identifiers; None removes what is stored."""
    _delete(client, "identity_members", "identifier", list(customers))
    members = [Member(i, customer, _EPOCH) for i, customer in customers.items() if customer]
    ClickHouseWriter(client).insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(members))


def replace_parts(client: Client, parts: Mapping[str, tuple[str, Part] | None]) -> None:
    """Set anchors' (customer, part); None removes what is stored."""
    _delete(client, "parts", "anchor", list(parts))
    rows = [
        PartRow(anchor, placed[0], _EPOCH, placed[1].n, msgspec.Raw(_encode(placed[1])))
        for anchor, placed in parts.items()
        if placed is not None
    ]
    ClickHouseWriter(client).insert(PARTS, PARTS.rows(rows))


def add_health(client: Client, rows: Sequence[CustomerHealth]) -> None:
    """Add evaluations; the newest of a customer counts."""
    ClickHouseWriter(client).insert(HEALTH, HEALTH.rows(rows))


def add_accounts(client: Client, rows: Sequence[Account]) -> None:
    """Add evaluations; the newest of an account counts."""
    ClickHouseWriter(client).insert(ACCOUNTS, ACCOUNTS.rows(rows))


def _delete(client: Client, table: str, column: str, names: Sequence[str]) -> None:
    client.execute(
        f"ALTER TABLE {rows_of(client, table)} DELETE WHERE {column} IN %(names)s",
        {"names": tuple(names)},
        settings=_NOW,
    )
