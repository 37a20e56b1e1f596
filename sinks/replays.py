"""What is on record of replayed dead letters, before they are sent and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from clickhouse_driver import Client

_INSERT: Final = "INSERT INTO dead_letter_replays (id, event_id, replayed_at, started_at) VALUES"


def begin(client: Client, events: Mapping[str, UUID], now_ms: int) -> None:
    """Put on record that letters are about to be sent: letter's id to the touchpoint's event id."""
    _insert(client, events, 0, now_ms)


def finish(client: Client, events: Mapping[str, UUID], now_ms: int) -> None:
    """Put on record that they are in: sent and acknowledged, or found in the ledger."""
    _insert(client, events, now_ms, now_ms)


def _insert(client: Client, events: Mapping[str, UUID], replayed_ms: int, started_ms: int) -> None:
    rows = [(letter, event, replayed_ms, started_ms) for letter, event in events.items()]
    if rows:
        client.execute(_INSERT, rows)
