"""What an undisturbed run makes of the stream: rows, states, links, customers, dead letters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from schemas.decode import Rejection, decode
from schemas.outcome import JourneyStep, Link
from schemas.state import AnchorState
from streams.core.identity import Identities
from streams.core.resolve import count, links_of, step_of
from tests import oracle
from tests.faults import stream

SHARDS: Final = 2
_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode
Refusal = tuple[str, str, str]  # reason, field, message
Evidence = tuple[int, str, str]  # epoch ms, event id, source


@dataclass
class Truth:
    """Of the whole stream; each touchpoint counted once however often it stands there."""

    rows: dict[str, bytes] = field(default_factory=dict)  # event id -> digest of its ledger row
    events: dict[bytes, str] = field(default_factory=dict)  # digest of a record -> its event id
    refused: dict[bytes, Refusal] = field(default_factory=dict)  # digest of a record -> why
    anchors: dict[str, AnchorState] = field(default_factory=dict)
    links: dict[tuple[str, str], Evidence] = field(default_factory=dict)  # pair -> the earliest
    customers: dict[str, str] = field(default_factory=dict)  # identifier -> customer

    def customer_of(self, identifier: str) -> str:
        """The identifier's customer; itself where nothing links it."""
        return self.customers.get(identifier, identifier)


def truth_of(path: Path, key: bytes, region: str, now: datetime) -> Truth:
    """Fold the stream, in two processes, each with the anchors that fall to it."""
    with ProcessPoolExecutor(SHARDS, get_context("spawn")) as pool:
        shards = [pool.submit(fold, path, shard, key, region, now) for shard in range(SHARDS)]
        return united(shard.result() for shard in shards)


def united(shards: Iterable[Truth]) -> Truth:
    """The truth of all the shards, and the customers that follow from their links."""
    whole = Truth()
    for part in shards:
        whole.rows |= part.rows
        whole.events |= part.events
        whole.refused |= part.refused
        whole.anchors |= part.anchors
        for pair, evidence in part.links.items():
            whole.links[pair] = min(evidence, whole.links.get(pair, evidence))
    whole.customers = customers_of(_as_links(whole.links))
    return whole


def fold(path: Path, shard: int, key: bytes, region: str, now: datetime) -> Truth:
    """One shard of the stream: one record after another, each touchpoint once."""
    truth = Truth()
    for number, (anchor, value) in enumerate(stream.read(path)):
        if crc32(anchor.encode()) % SHARDS != shard:
            continue
        record = digest(value)
        if record in truth.events or record in truth.refused:
            continue
        found = decode(value, now)
        if isinstance(found, Rejection):
            truth.refused[record] = (found.reason, found.field, found.message)
            continue
        step = step_of(found, 0, key, region)
        truth.events[record] = step.event_id
        truth.rows[step.event_id] = row_digest(step)
        state = truth.anchors.setdefault(step.anchor, AnchorState())
        if count(state, step, number):
            links_of(state, step)
            for link in oracle.links_of([step]):
                pair, news = (link.a, link.b), (link.occurred_ms, link.event_id, link.source)
                truth.links[pair] = min(news, truth.links.get(pair, news))
    return truth


def customers_of(links: list[Link]) -> dict[str, str]:
    """Every linked identifier's customer, by the oracle, one web of links at a time."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (up := above.setdefault(name, name)) != name:
            above[name] = name = above[up]
        return name

    for link in links:
        above[top(link.a)] = top(link.b)
    webs = defaultdict(list)
    for link in links:
        webs[top(link.a)].append(link)
    return {
        identifier: customer
        for web in webs.values()
        for identifier, customer in oracle.identities(web).customers.items()
    }


def folded_customers(links: Mapping[tuple[str, str], Evidence]) -> dict[str, str]:
    """The same by the core, which is another computation altogether."""
    identities = Identities()
    identities.learn(_as_links(links))
    return {end: identities.customer_of(end) for pair in links for end in pair}


def _as_links(links: Mapping[tuple[str, str], Evidence]) -> list[Link]:
    return [
        Link(a, b, event_id, at_ms, source) for (a, b), (at_ms, event_id, source) in links.items()
    ]


def digest(value: bytes) -> bytes:
    """128 bits of a record's bytes."""
    return blake2b(value, digest_size=16).digest()


def row_digest(step: JourneyStep) -> bytes:
    """128 bits of every column of a ledger row but when it was received."""
    return digest(_encode(msgspec.structs.replace(step, received_ms=0)))
