"""Records through the real resolve and the sink's decoding, without a broker and a database."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from msgspec.json import decode

from schemas import topics
from schemas.state import AnchorState
from sinks import decode as sink
from sinks.rows import TOPIC_TABLES
from streams.agents.resolve import Resolve, States, merge_states, resolve_touchpoints
from streams.core.dead_letter_limit import Verdicts
from streams.delivery import MAX_BATCH, Outgoing
from tests.agents.broker import Broker, Record, changelog
from tests.fuzz.expected import Account
from tests.fuzz.records import NOW, Sample

_CHUNK: Final = 500
_OVERHEAD: Final = 200  # of a record in a batch, more than Kafka's


def run(records: Iterable[Sample]) -> tuple[Account, float]:
    """What became of each record, and how many seconds that took, making them apart."""
    return asyncio.run(_run(iter(records)))


async def _run(records: Iterator[Sample]) -> tuple[Account, float]:
    account, verdicts, broker = Account(), Verdicts(), Broker()
    states = States(changelog(broker, topics.ANCHORS.name, merge_states))
    sent: list[Outgoing] = []

    async def deliver(outgoing: list[Outgoing]) -> None:
        sent.extend(outgoing)

    agent = Resolve(deliver, partitions=1, identity_key=b"key", phone_region="IR")
    offset, seconds = 0, 0.0
    while batch := list(islice(records, _CHUNK)):
        began = time.perf_counter()
        chunk = [
            Record(topics.TOUCHPOINTS.name, 0, offset + n, -1, None, sample.raw)
            for n, sample in enumerate(batch)
        ]
        await resolve_touchpoints(agent, states, verdicts, 0, chunk, NOW)
        letters, rows = _stored(sent)
        seconds += time.perf_counter() - began
        for n, sample in enumerate(batch):
            account.note(sample, letters[offset + n], rows[str(sample.event_id)])
        offset += len(batch)
        sent.clear()
    stored = states.changelog.store.values()
    counted = sum(decode(value, type=AnchorState).part.n for value in stored)
    if counted != account.accepted.total():
        account.wrong.append(f"{counted:,} counted into parts")
    return account, seconds


def _stored(sent: list[Outgoing]) -> tuple[dict[int, list[str]], Counter[str]]:
    """Reasons of dead letters by offset, and ledger rows by event id, as the sink reads them."""
    by_topic: dict[str, list[Any]] = defaultdict(list)
    for at, record in enumerate(sent):
        size = len(record.key) + len(record.value or b"") + _OVERHEAD
        assert size < MAX_BATCH, f"{record.topic}: a record of {size:,} bytes"
        kept = Record(record.topic, record.partition, at, 0, record.key, record.value)
        by_topic[record.topic].append(kept)
    decoded = {
        topic: sink.decode(topic, by_topic[topic]) for topic in by_topic if topic in TOPIC_TABLES
    }
    for topic, structs in decoded.items():
        assert len(TOPIC_TABLES[topic].rows(structs)[0]) <= len(structs)
    letters: dict[int, list[str]] = defaultdict(list)
    for letter in decoded.get(topics.DEAD_LETTERS.name, ()):
        letters[letter.offset].append(letter.reason)
    return letters, Counter(step.event_id for step in decoded.get(topics.JOURNEYS.name, ()))
