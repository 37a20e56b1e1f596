"""A rejected record as a letter: its id, its size, and when it was received."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.dead_letters import MAX_KEPT, letter_of
from schemas.decode import Rejection
from schemas.outcome import DeadLetter, Reason
from streams.agents.resolve import Resolve, States, merge_states, resolve_touchpoints
from streams.core.dead_letter_limit import Verdicts
from streams.core.resolve import to_ms
from streams.delivery import MAX_BATCH, Outgoing
from tests.agents.broker import Broker, Record, changelog
from tests.wire import NOW

WRONG = Rejection(Reason.MALFORMED_JSON, "", "is no JSON")
NOW_MS = to_ms(NOW)


def letters(*chunk: Record) -> list[DeadLetter]:
    sent: list[Outgoing] = []

    async def deliver(records: list[Outgoing]) -> None:
        sent.extend(records)

    agent = Resolve(deliver, partitions=1, identity_key=b"k", phone_region="IR")
    states = States(changelog(Broker(), topics.ANCHORS.name, merge_states))
    asyncio.run(resolve_touchpoints(agent, states, Verdicts(), 0, chunk, NOW))
    decode = msgspec.json.Decoder(DeadLetter).decode
    assert all(len(record.key) + len(record.value or b"") < MAX_BATCH for record in sent)
    return [decode(r.value or b"") for r in sent if r.topic == topics.DEAD_LETTERS.name]


def record(value: bytes | None, timestamp: int = NOW_MS, offset: int = 0) -> Record:
    return Record(topics.TOUCHPOINTS.name, 0, offset, timestamp, None, value)


def test_an_id_is_the_records_place_and_bytes_whenever_it_is_read() -> None:
    first = letter_of("import:a:b.csv", 0, 7, WRONG, b"x", 1)
    assert first.id == f"import:a:b.csv:0:7:{sha256(b'x').hexdigest()[:8]}"
    assert letter_of("import:a:b.csv", 0, 7, WRONG, b"x", 2).id == first.id
    assert letter_of("import:a:b.csv", 0, 7, WRONG, b"y", 1).id != first.id


@pytest.mark.parametrize("size", [70_000, 5_000_000])
def test_a_record_of_any_size_becomes_a_letter_that_fits_a_message(size: int) -> None:
    raw = b"\xff" * size
    (letter,) = letters(record(raw))
    assert letter.reason == "oversized"
    assert letter.raw == raw[:MAX_KEPT]
    assert len(letter.raw) + letter.cut == size
    assert (sha256(raw).hexdigest() in letter.message) == (size > MAX_KEPT)


def test_a_field_name_and_a_message_of_any_length_are_cut() -> None:
    name = "\x01" * 9_000
    raw = msgspec.json.encode({"channel": "web", name: 1})
    (letter,) = letters(record(raw))
    assert len(letter.field) <= 256
    assert letter.raw == raw
    long = letter_of("t", 0, 0, Rejection(Reason.OVERSIZED, "f" * 999, "m" * 999), b"", 0)
    assert (len(long.field), len(long.message)) == (256, 256)


def test_a_tombstone_is_a_letter_of_no_bytes() -> None:
    (letter,) = letters(record(None))
    assert (letter.reason, letter.raw) == ("malformed_json", b"")


DAY = int(timedelta(days=1).total_seconds() * 1000)


@pytest.mark.parametrize(
    ("timestamp", "received"),
    [
        (NOW_MS - DAY, NOW_MS - DAY),
        (NOW_MS, NOW_MS),
        # A letter would otherwise expire as it is stored, or never.
        *((wrong, NOW_MS) for wrong in (-1, 0, NOW_MS - 60 * DAY, NOW_MS + 1, 1 << 62)),
    ],
)
def test_a_time_received_that_cannot_be_is_now(timestamp: int, received: int) -> None:
    found: list[Any] = letters(record(b"?", timestamp))
    assert found[0].received_ms == received
