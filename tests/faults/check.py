"""Everything the run left behind, in Kafka and ClickHouse, against the truth.

Left out, as they depend on the order of arrival or the clock: an anchor state's `epoch` and
`offset` (where Kafka put a record), its `left` (told, but only the next touchpoint writes that
down), a part's `received_ms` and `epoch`, and when a customer was evaluated: what it was evaluated
to is computed again for that very moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from clickhouse_driver import Client
from kafka import KafkaConsumer, TopicPartition

from analytics import live, replay
from schemas import topics
from schemas.outcome import (
    Account,
    ContactUpdate,
    CustomerHealth,
    DeadLetter,
    Link,
    Member,
    OutreachDecision,
)
from schemas.settings import Settings
from schemas.state import AnchorState, PartUpdate
from streams.core.drift import Placed
from streams.core.health import Policy
from streams.core.journey import MAX_SEEN, CustomerState
from streams.core.resolve import MAX_LINKED
from streams.core.stitch import evaluate
from streams.policy import load_policy
from tests.faults import accounts
from tests.faults.compare import Comparison, compare
from tests.faults.truth import Truth, digest, folded_customers, row_digest

_STANDING: Final = """
SELECT customer, toUnixTimestamp64Milli(evaluated_at), identifiers, touchpoints, health, sentiment,
    distress, segment, account, spend, clv_minor
FROM health FINAL
ORDER BY evaluated_at DESC
LIMIT 1 BY customer
"""
_LETTERS: Final = """
SELECT partition, offset, reason, field, message, raw, toUnixTimestamp64Milli(received_at)
FROM dead_letters FINAL
"""
_DECISIONS: Final = "SELECT customer, rule, decision_id FROM outreach FINAL"
_member: Final = msgspec.json.Decoder(Member).decode
_link: Final = msgspec.json.Decoder(Link).decode
_anchor: Final = msgspec.json.Decoder(AnchorState).decode
_update: Final = msgspec.json.Decoder(PartUpdate).decode
_health: Final = msgspec.json.Decoder(CustomerHealth).decode
_letter: Final = msgspec.json.Decoder(DeadLetter).decode
_decision: Final = msgspec.json.Decoder(OutreachDecision).decode
_contact: Final = msgspec.json.Decoder(ContactUpdate).decode
_account: Final = msgspec.json.Decoder(Account).decode


@dataclass
class Arrived:
    """What stands in `touchpoints`: when each event came first, and what has to be refused."""

    received: dict[str, int]  # event id -> epoch ms of its first record
    letters: dict[tuple[int, int], tuple[Any, ...]]  # (partition, offset) -> dead letter
    records: int
    sent: Comparison


def check(settings: Settings, client: Client, truth: Truth) -> Iterator[Comparison]:
    """Compare store by store; the pipeline must be at rest."""
    arrived = arrivals(truth, records(settings, topics.TOUCHPOINTS))
    yield arrived.sent
    yield compare(
        "ledger rows",
        {event: (row, arrived.received.get(event)) for event, row in truth.rows.items()},
        ((step.event_id, (row_digest(step), step.received_ms)) for step in replay.steps(client)),
    )
    yield compare(
        "dead letters",
        arrived.letters,
        (((row[0], row[1]), (*row[2:5], _raw(row[5]), row[6])) for row in client.execute(_LETTERS)),
    )
    yield compare("dead letters, topic", arrived.letters, letters(settings))
    moved = {name: customer for name, customer in truth.customers.items() if name != customer}
    yield compare("customers, by the core", truth.customers, folded_customers(truth.links).items())
    yield compare("identities", moved, live.stored_members(client))
    yield compare("identities, topic", moved, members(records(settings, topics.MEMBERS)))
    yield compare("links", truth.links, map(_evidence, replay.links(client)))
    links = map(_link, newest(settings, topics.LINKS).values())
    yield compare("links, topic", truth.links, map(_evidence, links))
    yield anchors(truth, newest(settings, topics.ANCHORS))
    yield compare(
        "parts",
        {name: Placed(truth.customer_of(name), s.part) for name, s in truth.anchors.items()},
        live.stored_parts(client),
    )
    yield compare(
        "parts, topic",
        {f"{truth.customer_of(name)}\0{name}": s.part for name, s in truth.anchors.items()},
        (
            (key, update.part)
            for key, value in newest(settings, topics.PARTS).items()
            if (update := _update(value)).part is not None
        ),
    )
    standing = {key: _health(value) for key, value in newest(settings, topics.CUSTOMERS).items()}
    policy = load_policy(settings.health_file)
    yield customers(truth, standing, policy)
    yield counted(len(truth.rows), standing)
    yield compare(
        "health",
        {name: _shown(row) for name, row in standing.items()},
        ((row[0], row[1:]) for row in client.execute(_STANDING)),
    )
    yield from accounts.check(
        standing.values(),
        map(_contact, newest(settings, topics.CONTACTS).values()),
        map(_account, newest(settings, topics.ACCOUNTS).values()),
        client.execute(accounts.STANDING),
        policy,
    )
    decisions = (_decision(record.value) for record in records(settings, topics.OUTREACH))
    yield from outreach(
        {one.decision_id: (one.customer, one.rule) for one in decisions},
        [(row[2], (row[0], row[1])) for row in client.execute(_DECISIONS)],
        standing,
    )


def arrivals(truth: Truth, found: Iterable[Any]) -> Arrived:
    """What arrived, in order of offset within a partition; copies of a record are one record."""
    received: dict[str, int] = {}
    refused: dict[tuple[int, int], tuple[Any, ...]] = {}
    count = 0
    kinds: dict[bytes, None] = {}
    for record in found:
        count += 1
        key = digest(record.value)
        kinds[key] = None
        if key in truth.events:
            received.setdefault(truth.events[key], record.timestamp)
        elif key in truth.refused:
            refused[record.partition, record.offset] = (
                *truth.refused[key],
                key,
                record.timestamp,
            )
    expected = dict.fromkeys((*truth.events, *truth.refused))
    return Arrived(received, refused, count, compare("records sent", expected, kinds.items()))


def letters(settings: Settings) -> Iterator[tuple[tuple[int, int], tuple[Any, ...]]]:
    """The dead letters of the topic, each id once; a copy that differs counts as another."""
    found = {
        (
            (one.partition, one.offset),
            (one.reason, one.field, one.message, digest(one.raw), one.received_ms),
        )
        for one in (_letter(record.value) for record in records(settings, topics.DEAD_LETTERS))
    }
    yield from found


def members(found: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Identifiers that are another's, by the highest epoch: that is how every reader takes them."""
    newest: dict[str, Member] = {}
    for record in found:
        if record.value is not None:
            member = _member(record.value)
            if member.epoch >= newest.get(member.identifier, member).epoch:
                newest[member.identifier] = member
    return ((m.identifier, m.customer) for m in newest.values() if m.identifier != m.customer)


def anchors(truth: Truth, found: dict[str, bytes]) -> Comparison:
    """The changelog of resolve against the fold of each anchor's touchpoints."""
    expected = {
        name: _remembered(AnchorState(), truth.customer_of(name), name)
        for name, customer in truth.customers.items()
        if name != customer
    } | {
        name: _remembered(state, truth.customer_of(name), name)
        for name, state in truth.anchors.items()
    }
    states = ((name, _anchor(value)) for name, value in found.items())
    return compare(
        "anchors, topic",
        expected,
        (
            (name, _remembered(state, state.customer or name, name))
            for name, state in states
            # An identifier that went and came back, and has no touchpoints, may be remembered.
            if name in expected or state.part.n or state.customer
        ),
    )


def _remembered(state: AnchorState, customer: str, name: str) -> tuple[Any, ...]:
    """What has to be right of an anchor's state; memories that are full depend on the order."""
    seen = sorted(state.seen) if state.part.n <= MAX_SEEN else None
    linked = state.linked if len(state.linked) < MAX_LINKED else None
    return state.part, customer, seen, linked


def customers(truth: Truth, standing: dict[str, CustomerHealth], policy: Policy) -> Comparison:
    """Every customer evaluated anew, on the parts it should have, at the moment it was."""
    states: dict[str, CustomerState] = {}
    for anchor, state in truth.anchors.items():
        name = truth.customer_of(anchor)
        update = PartUpdate(anchor, name, 0, state.part.n, state.part)
        states.setdefault(name, CustomerState()).take(update)
    expected = {}
    for name, customer in states.items():
        row = standing.get(name)
        moment, reached = (row.evaluated_ms, row.reached) if row else (0, {})
        health, *_ = evaluate(name, customer, reached, moment, policy)
        # Since when a rule's conditions hold depends on when they were looked at; which accounts
        # were told, on offsets.
        kept = {"holding": row.holding, "told": row.told} if row else {}
        expected[name] = msgspec.structs.replace(health, **kept)
    return compare(
        "customers, topic",
        expected,
        ((name, row) for name, row in standing.items() if row.identifiers),
    )


def outreach(
    decided: dict[str, tuple[str, str]],
    stored: list[tuple[str, tuple[str, str]]],
    standing: dict[str, CustomerHealth],
) -> Iterator[Comparison]:
    """Decisions: one for a customer and rule, stored as decided, and remembered.

    `decided` and `stored`: decision id -> customer and rule. Which rules fire depends on the moment
    of each evaluation, so it is not computed again. But the cooldown outlasts the run, so a second
    decision was made on a memory lost. What a worker asked before it was killed, and another found
    no reason for, the guard remembers alone.
    """
    yield compare("outreach decisions", decided, stored)
    remembered = {(row.customer, rule): None for row in standing.values() for rule in row.reached}
    once = remembered | {key: None for _, key in stored}
    yield compare("outreach, once", once, ((key, None) for _, key in stored))


def newest(settings: Settings, topic: topics.Topic) -> dict[str, bytes]:
    """The newest value of every key of a topic; those deleted are left out."""
    found = {record.key: record.value for record in records(settings, topic)}
    return {key.decode(): value for key, value in found.items() if value is not None}


def records(settings: Settings, topic: topics.Topic) -> Iterator[Any]:
    """All of a topic up to its present end, in order within a partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        numbers = consumer.partitions_for_topic(topic.name) or set()
        tps = [TopicPartition(topic.name, number) for number in sorted(numbers)]
        ends = consumer.end_offsets(tps)
        consumer.assign(tps)
        consumer.seek_to_beginning()
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for batch in consumer.poll(timeout_ms=500).values():
                yield from batch
    finally:
        consumer.close()


def _raw(stored: str | bytes) -> bytes:
    return digest(stored.encode() if isinstance(stored, str) else stored)


def _evidence(link: Link) -> tuple[tuple[str, str], tuple[int, str, str]]:
    return (link.a, link.b), (link.occurred_ms, link.event_id, link.source)


def counted(expected: int, standing: dict[str, CustomerHealth]) -> Comparison:
    """Touchpoints of all customers together: nothing else can make up for one lost or doubled."""
    found = sum(row.touchpoints for row in standing.values() if row.identifiers)
    short = expected - found
    return Comparison(
        "touchpoints counted", expected, found, lost=max(0, short), doubled=max(0, -short)
    )


def _shown(row: CustomerHealth) -> tuple[Any, ...]:
    return (
        *(row.evaluated_ms, row.identifiers, row.touchpoints, row.health, row.sentiment),
        *(row.distress, row.segment, row.account, row.spend, row.clv_minor),
    )
