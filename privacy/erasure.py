"""A person erased from every store, and the receipt.

What is to be erased is written down before anything goes, so that an erasure killed anywhere is
completed by the next. First the workers forget, by one tombstone in `identity.links` (see
`streams.agents.identity`); once they and the sink have read all that follows from it, rows go.
Whoever is seen meanwhile is erased once more, so that nothing stays half: a touchpoint is either
erased everywhere or begins a history of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from clickhouse_driver import Client

from privacy.person import Person, count, is_there
from privacy.stores import LEDGER, MENTIONS, REDACTED, STAGING, STORES, Store
from producers.publisher import Publisher
from schemas import topics
from schemas.outcome import erasure_key
from schemas.settings import Settings
from sinks.shards import reload_identities, rows_of, settle
from streams.cluster import positions, unread_before

Report = Callable[[str], None]  # what is done now, for people

_ROUNDS: Final = 10
# links, members, parts, members, parts, contacts, accounts: each is read before the next is written
_HOPS: Final = 7
_PATIENCE: Final = 120.0  # seconds without any progress
# A table on a cluster has its replicas carry out a mutation each: they must be told that the list
# that it reads is the same for all of them, and it is (`_settle`).
_NOW: Final = {"mutations_sync": 2, "allow_nondeterministic_mutations": 1}
_OLD_PARTS: Final = """
SELECT toUInt64OrZero(value) FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime'
"""
_CLEANED_WITHIN: Final = 600  # seconds: the longest pause between two looks for old parts
_NO_PARTITION: Final = "0-none"  # dropping it has the database remove old parts now


class ErasureError(Exception):
    """An erasure could not be completed; running it again goes on."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure removed: rows by table. Nothing of it tells who it was.

    `database_clean_at` is when the database has removed the files that had the rows, and
    `log_clean_at` when Kafka's log has.
    """

    id: UUID
    requested_at: datetime
    erased_at: datetime
    identifiers: int
    rows: dict[str, int]
    database_clean_at: datetime
    log_clean_at: datetime


def begin(client: Client, erasure: UUID, person: Person, now: datetime) -> None:
    """Write down who is to be erased, in one block."""
    rows = [
        (erasure, what, value, now)
        for what, values in (
            ("identifier", person.identifiers),
            ("freed", person.freed),
            ("letter", person.letters),
            ("link", [link.key() for link in person.links]),
        )
        for value in values
    ]
    client.execute(f"INSERT INTO {STAGING} (erasure, what, value, requested_at) VALUES", rows)


def unfinished(client: Client) -> list[tuple[UUID, datetime]]:
    """Erasures begun and not completed, with the time of their request."""
    query = f"SELECT erasure, min(requested_at) AS at FROM {STAGING} GROUP BY erasure ORDER BY at"
    return [(erasure, at.replace(tzinfo=UTC)) for erasure, at in client.execute(query)]


def complete(
    client: Client, settings: Settings, erasure: UUID, requested_at: datetime, report: Report
) -> Receipt:
    """Erase whoever was written down, and store the receipt.

    Raises ErasureError, PublishError, BrokerUnavailable and what the database raises.
    """
    _settle(client)
    identifiers, links = _staged(client, erasure, "identifier"), _staged(client, erasure, "link")
    sets = _sets(erasure)
    removed: dict[str, int] = {}
    for _ in range(_ROUNDS):
        _stage_events(client, erasure, sets)
        _have_forgotten(settings, identifiers, links, report)
        _settle(client)
        report("erasing rows")
        for name, rows in _delete(client, sets).items():
            removed[name] = removed.get(name, 0) + rows
        if not any(is_there(client, store.bound(sets)) for store in (*STORES, *MENTIONS)):
            break
    else:
        raise ErasureError(
            "touchpoints of this person keep arriving: run it again when they have paused"
        )
    reload_identities(client)
    receipt = _receipt(client, erasure, requested_at, len(identifiers), removed)
    _store(client, receipt)
    _mutate(client, STAGING, f"DELETE WHERE erasure = '{erasure}'")
    for table in (*(store.table for store in STORES), STAGING):
        _mutate(client, table, f"DROP PARTITION ID '{_NO_PARTITION}'")
    return receipt


def receipts(client: Client) -> list[Receipt]:
    """Every erasure on record, the latest first."""
    rows = client.execute("SELECT * FROM erasures FINAL ORDER BY erased_at DESC")
    return [Receipt(*row) for row in rows]


def _sets(erasure: UUID) -> dict[str, str]:
    """SQL of what the conditions are bound to: the lists written down."""

    def of(*what: str) -> str:
        kinds = ", ".join(f"'{each}'" for each in what)
        return f"(SELECT value FROM {STAGING} WHERE erasure = '{erasure}' AND what IN ({kinds}))"

    return {
        "identifiers": of("identifier"),
        "anchors": of("identifier", "freed"),
        "letters": of("letter"),
        "events": of("event"),
        "identifier_list": of("identifier").replace("SELECT value", "SELECT groupArray(value)"),
    }


def _staged(client: Client, erasure: UUID, what: str) -> list[str]:
    query = f"SELECT value FROM {STAGING} FINAL WHERE erasure = %(id)s AND what = %(what)s"
    return [value for (value,) in client.execute(query, {"id": erasure, "what": what})]


def _stage_events(client: Client, erasure: UUID, sets: Mapping[str, str]) -> None:
    """Write down the touchpoints there are: one that comes after is not erased half."""
    ledger = LEDGER.bound(sets)
    client.execute(
        f"INSERT INTO {STAGING} (erasure, what, value, requested_at) "
        f"SELECT DISTINCT '{erasure}', 'event', toString(event_id), now64(3) "
        f"FROM {ledger.table} WHERE {ledger.condition}"
    )


def _have_forgotten(
    settings: Settings, identifiers: Sequence[str], links: Sequence[str], report: Report
) -> None:
    """Have the workers forget; returns when they and the sink have read all that follows."""
    with Publisher(settings) as publisher:
        publisher.publish(None, erasure_key(identifiers), topics.LINKS.name)
        for key in links:  # also those that the identity agent passes over
            publisher.publish(None, key, topics.LINKS.name)
    wait_until_read(settings, report)


def wait_until_read(settings: Settings, report: Report) -> None:
    """Wait until all that is in the topics, and all that follows from it, has been read.

    Later records are not waited for. Raises ErasureError where nothing moves.
    """
    before: dict[tuple[str, int], int] = {}
    for _ in range(_HOPS):
        ends = positions(settings)
        if ends == before:
            return
        deadline, least = time.monotonic() + _PATIENCE, None
        while behind := unread_before(settings, ends):
            report(f"waiting for the pipeline: {behind:,} records to go")
            if least is None or behind < least:
                deadline, least = time.monotonic() + _PATIENCE, behind
            if time.monotonic() > deadline:
                raise ErasureError(
                    f"{behind:,} records wait unread and nothing moves: see `journey status`, "
                    "then run it again"
                )
            time.sleep(0.1)
        before = ends


def _delete(client: Client, sets: Mapping[str, str]) -> dict[str, int]:
    """Delete the person's rows, and their identifiers from rows of others; rows by store."""
    rows = {}
    for store in (each.bound(sets) for each in STORES):
        only = f" AND toString(event_id) IN {sets['events']}" if store.table == LEDGER.table else ""
        doomed = Store(store.table, f"({store.condition}){only}")
        rows[store.table] = count(client, doomed)
        if is_there(client, doomed):
            _mutate(client, store.table, f"DELETE WHERE {doomed.condition}")
    rows["mentions"] = 0
    for mentions in (each.bound(sets) for each in MENTIONS):
        rows["mentions"] += count(client, mentions)
        if is_there(client, mentions):
            _mutate(client, mentions.table, f"UPDATE {REDACTED % sets} WHERE {mentions.condition}")
    return rows


def _settle(client: Client) -> None:
    settle(client, [STAGING, *(store.table for store in STORES)])


def _mutate(client: Client, table: str, command: str) -> None:
    client.execute(f"ALTER TABLE {rows_of(client, table)} {command}", settings=_NOW)


def _receipt(
    client: Client, erasure: UUID, requested_at: datetime, identifiers: int, rows: dict[str, int]
) -> Receipt:
    now = datetime.now(UTC)
    seconds = sum(row[0] for row in client.execute(_OLD_PARTS)) + _CLEANED_WITHIN
    days = max(topic.clean_days() for topic in topics.TOPICS)
    return Receipt(
        id=erasure,
        requested_at=requested_at,
        erased_at=now,
        identifiers=identifiers,
        rows={name: count for name, count in rows.items() if count},
        database_clean_at=now + timedelta(seconds=seconds),
        log_clean_at=now + timedelta(days=days),
    )


def _store(client: Client, receipt: Receipt) -> None:
    columns = ", ".join(field.name for field in fields(receipt))
    client.execute(f"INSERT INTO erasures ({columns}) VALUES", [astuple(receipt)])
