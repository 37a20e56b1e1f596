"""Records through a whole stack: broker, worker, sink and database."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final
from uuid import UUID

from clickhouse_driver import Client
from kafka import KafkaProducer

from commands.send import wait_for_pipeline
from schemas.settings import Settings
from schemas.topics import TOUCHPOINTS
from sinks.clickhouse import connect
from streams.delivery import partition_of
from tests.fuzz.expected import Account
from tests.fuzz.records import Sample

_BATCH: Final = 2_000
_STAMPS: Final = (None, None, None, 0, 1, 4_102_444_800_000)  # of producers: 1970, and 2100
_HEADERS: Final[tuple[list[tuple[str, bytes]], ...]] = (
    [],
    [],
    [("x", b""), ("\u202e", b"\xff" * 300)],
)
_KEYS: Final = (None, b"", b"\xff")
Place = tuple[int, int]  # partition, offset


def run(settings: Settings, records: Iterable[Sample]) -> tuple[Account, float]:
    """Send the records, wait until all is read, and hold every one against the tables.

    The stack has to be empty, its workers without a limit of dead letters.
    """
    began = time.monotonic()
    places = _send(settings, iter(records))
    wait_for_pipeline(settings)
    seconds = time.monotonic() - began
    client = connect(settings.clickhouse.get_secret_value())
    try:
        return _account(client, places), seconds
    finally:
        client.disconnect()


def _send(settings: Settings, records: Iterator[Sample]) -> list[tuple[Place, Sample]]:
    """Neighbours by their key; the others anywhere, some with no key, odd times and headers."""
    producer = KafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        compression_type="lz4",
        max_request_size=64 << 20,
        linger_ms=20,
    )
    places: list[tuple[Place, Sample]] = []
    number = 0
    while batch := list(islice(records, _BATCH)):
        futures: list[Any] = []
        for sample in batch:
            key = sample.anchor.encode()
            home = partition_of(key, settings.partitions) if key else number % settings.partitions
            futures.append(
                producer.send(
                    TOUCHPOINTS.name,
                    sample.raw,
                    # The client sends nothing that has neither key nor value.
                    key or (b"" if sample.raw is None else _KEYS[number % len(_KEYS)]),
                    partition=home,
                    timestamp_ms=_STAMPS[number % len(_STAMPS)],
                    headers=_HEADERS[number % len(_HEADERS)],
                )
            )
            number += 1
        for future, sample in zip(futures, batch, strict=True):
            sent = future.get(timeout=60)
            places.append(((sent.partition, sent.offset), sample))
    producer.close()
    return places


def _account(client: Client, places: list[tuple[Place, Sample]]) -> Account:
    letters: dict[Place, list[str]] = defaultdict(list)
    stored = client.execute_iter(
        "SELECT partition, offset, reason FROM dead_letters FINAL WHERE topic = %(topic)s",
        {"topic": TOUCHPOINTS.name},
    )
    for partition, offset, reason in stored:
        letters[partition, offset].append(reason)
    rows: dict[UUID, int] = dict(
        client.execute_iter("SELECT event_id, count() FROM touchpoints FINAL GROUP BY event_id")
    )
    account = Account()
    for place, sample in places:
        in_ledger = rows.pop(sample.event_id, 0) if sample.event_id else 0
        account.note(sample, letters.pop(place, []), in_ledger)
    if rows or letters:
        account.wrong.append(f"{len(rows):,} rows and {len(letters):,} letters of nobody's records")
    ((counted,),) = client.execute("SELECT sum(n) FROM parts FINAL")
    if counted != account.accepted.total():
        account.wrong.append(f"{counted:,} counted into parts")
    return account
