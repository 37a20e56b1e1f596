"""Dead letters as they are stored, with what became of them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from clickhouse_driver import Client


@dataclass(frozen=True, slots=True)
class Letter:
    """One rejected record. `replayed_ms` is 0 where it waits; `sent_as` also where it may."""

    id: str
    topic: str
    received_ms: int
    reason: str
    field: str
    message: str
    raw: bytes
    cut: int  # bytes at its end that were not kept
    replayed_ms: int
    sent_as: UUID | None  # event id of a replay, finished or broken off


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters: of a reason, of a topic, received in a time; replayed ones too, or not."""

    reason: str | None = None
    topic: str | None = None
    since_ms: int = 0
    until_ms: int = 1 << 53
    replayed: bool = False

    def condition(self) -> tuple[str, dict[str, Any]]:
        """SQL and its parameters."""
        values: dict[str, Any] = {"since": self.since_ms, "until": self.until_ms}
        terms = ["toUnixTimestamp64Milli(received_at) BETWEEN %(since)s AND %(until)s"]
        for name, value in (("reason", self.reason), ("topic", self.topic)):
            if value is not None:
                terms.append(f"{name} = %({name})s")
                values[name] = value
        if not self.replayed:
            terms.append("toUnixTimestamp64Milli(replayed_at) = 0")
        return " AND ".join(terms), values


_ALL: Final = """
FROM (SELECT * FROM dead_letters FINAL) AS letters
LEFT JOIN (SELECT id, event_id, replayed_at FROM dead_letter_replays FINAL) AS replays USING id
"""
_COLUMNS: Final = """
SELECT
    id, topic, toUnixTimestamp64Milli(received_at), reason, field, message, base64Encode(raw), cut,
    toUnixTimestamp64Milli(replayed_at), event_id
"""
_IN_LEDGER: Final = """
SELECT event_id FROM touchpoints
WHERE (anchor, toUnixTimestamp64Milli(occurred_at), event_id) IN %(keys)s
"""
_BLOCK: Final = {"max_block_size": 1_000}
_NOBODY: Final = UUID(int=0)


def counts(client: Client, selection: Selection) -> dict[str, int]:
    """Letters by reason, most first."""
    condition, values = selection.condition()
    return dict(
        client.execute(
            f"SELECT reason, count() {_ALL} WHERE {condition} GROUP BY reason ORDER BY 2 DESC, 1",
            values,
        )
    )


def letters(client: Client, selection: Selection, limit: int | None = None) -> Iterator[Letter]:
    """Letters, the newest first."""
    condition, values = selection.condition()
    most = "" if limit is None else f"LIMIT {limit:d}"
    query = f"{_COLUMNS} {_ALL} WHERE {condition} ORDER BY received_at DESC, id {most}"
    return map(_letter, client.execute_iter(query, values, settings=_BLOCK))


def find(client: Client, ids: Iterable[str]) -> dict[str, Letter]:
    """The letters that have these ids."""
    wanted = tuple(ids)
    if not wanted:
        return {}
    rows = client.execute(f"{_COLUMNS} {_ALL} WHERE id IN %(ids)s", {"ids": wanted})
    return {letter.id: letter for letter in map(_letter, rows)}


def in_ledger(client: Client, touchpoints: Mapping[UUID, tuple[str, int]]) -> set[UUID]:
    """Those event ids whose touchpoint, by its (anchor, occurred ms), is in the ledger."""
    if not touchpoints:
        return set()
    keys = tuple((anchor, at, str(event)) for event, (anchor, at) in touchpoints.items())
    return {event for (event,) in client.execute(_IN_LEDGER, {"keys": keys})}


def events_in_ledger(client: Client, events: Iterable[UUID]) -> set[UUID]:
    """Those event ids that are in the ledger under whatever anchor; reads every event id."""
    wanted = tuple(str(event) for event in events)
    if not wanted:
        return set()
    query = "SELECT event_id FROM touchpoints WHERE event_id IN %(events)s"
    return {event for (event,) in client.execute(query, {"events": wanted})}


def _letter(row: tuple[Any, ...]) -> Letter:
    id_, topic, received_ms, reason, field, message, raw, cut, replayed_ms, event = row
    sent_as = None if event == _NOBODY else event
    return Letter(
        id_, topic, received_ms, reason, field, message, b64decode(raw), cut, replayed_ms, sent_as
    )
