"""The stitch agent: parts to customers, their health and the outreach it asks the guard for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from schemas import topics
from schemas.outcome import CustomerHealth, forget_key
from schemas.state import PartUpdate, part_of_key
from streams import metrics
from streams.core.health import Policy
from streams.core.journey import CustomerState
from streams.core.rules import RuleSet
from streams.core.stitch import evaluate
from streams.delivery import Outgoing, partition_of
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
decode_update = msgspec.json.Decoder(PartUpdate).decode
decode_health = msgspec.json.Decoder(CustomerHealth).decode
SWEEP_SLICE = 500


@dataclass(slots=True, weakref_slot=True, eq=False)
class Customers:
    """A partition's customers: their state, the health last published, and how many are how.

    `counts` maps (segment, band) to customers, as of the last sweep.
    """

    states: dict[str, CustomerState] = field(default_factory=dict)
    published: dict[str, CustomerHealth] = field(default_factory=dict)
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stitch:
    """What stitching depends on. Chunks and sweeps take turns by `turn`."""

    deliver: Callable[[list[Outgoing]], Awaitable[None]]
    policy: Policy
    ruleset: RuleSet
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


async def stitch(
    agent: Stitch,
    customers: Customers,
    partition: int,
    partitions: int,
    chunk: Chunk,
    now_ms: int,
) -> None:
    """Take a chunk of `parts` and publish every customer it names.

    `parts` is the agent's changelog for states and `customers` for what was published, so there is
    nothing to write besides the output. A customer is published also where its state knew the
    part, since a recovered state may hold what was never published. Only the newest record of a
    key is decoded.

    A tombstone erases whatever came before it: the customer forgets the anchor, and is forgotten
    with its last one.
    """
    newest = {record.key: record.value for record in chunk}
    erased = {record.key or b"": None for record in chunk if record.value is None}
    named: dict[str, int] = {}  # customer -> received ms of its newest touchpoint
    async with agent.turn:
        await _forget(agent, customers, partition, partitions, erased)
        for value in newest.values():
            if value is None:
                continue
            update = decode_update(value)
            state = customers.states.setdefault(update.customer, CustomerState())
            state.take(update)
            if update.part is None and update.customer not in customers.published:
                continue  # nobody was told of this customer
            named[update.customer] = max(update.received_ms, named.get(update.customer, 0))
        await _publish(agent, customers, partition, named, now_ms, trigger="touchpoint")
    for received_ms in named.values():
        if received_ms:
            metrics.HEALTH_SECONDS.observe(max(0, now_ms - received_ms) / 1000)


async def sweep(agent: Stitch, customers: Customers, partition: int, now_ms: int) -> None:
    """Publish the customers whose health or segment changed in silence, a slice at a time."""
    everyone = list(customers.states)
    for start in range(0, len(everyone), SWEEP_SLICE):
        async with agent.turn:
            names = {
                name: 0
                for name in everyone[start : start + SWEEP_SLICE]
                if name in customers.published
                or (name in customers.states and customers.states[name].parts())
            }
            await _publish(agent, customers, partition, names, now_ms, trigger="sweep")
        await asyncio.sleep(0)
    customers.counts = Counter(
        (health.segment or "none", agent.policy.band(health.health))
        for health in customers.published.values()
        if health.identifiers
    )
    metrics.CUSTOMERS.share(customers)


async def _forget(
    agent: Stitch,
    customers: Customers,
    partition: int,
    partitions: int,
    keys: Iterable[bytes],
) -> None:
    """Drop parts; with its last one a customer goes, and the memory of what it was told.

    A customer who has others left is published by its next touchpoint or sweep. Anchors that left
    it before it went still name it: they are asked to forget it.
    """
    emptied: dict[str, None] = {}
    leavers: dict[tuple[str, str], None] = {}
    for key in keys:
        customer, anchor = part_of_key(key)
        state = customers.states.get(customer)
        if state is not None:
            state.members.pop(anchor, None)
        if state is None or not state.parts():
            emptied[customer] = None
            leavers |= dict.fromkeys((left, customer) for left in (state.members if state else ()))
    await agent.deliver(
        [Outgoing(topics.CUSTOMERS.name, partition, name.encode(), None) for name in emptied]
        + [
            Outgoing(
                topics.MEMBERS.name,
                partition_of(left.encode(), partitions),
                forget_key(left, customer).encode(),
                None,
            )
            for left, customer in leavers
        ]
    )
    for name in emptied:
        if name not in customers.states or not customers.states[name].members:
            customers.states.pop(name, None)
        customers.published.pop(name, None)


async def _publish(
    agent: Stitch,
    customers: Customers,
    partition: int,
    received: Mapping[str, int],
    now_ms: int,
    trigger: str,
) -> None:
    requests: list[Outgoing] = []
    rows: list[Outgoing] = []
    fresh: dict[str, CustomerHealth] = {}
    for name in received:
        known = customers.published.get(name)
        health, asked = evaluate(
            name,
            customers.states[name],
            known.reached if known else {},
            now_ms,
            agent.policy,
            agent.ruleset,
            known.holding if known else {},
            received.get(name, 0),
        )
        metrics.EVALUATIONS.labels(trigger).inc()
        if trigger == "sweep" and known and not asked and _same(health, known):
            continue
        requests += [
            Outgoing(topics.REQUESTS.name, 0, name.encode(), _encode(one)) for one in asked
        ]
        rows.append(Outgoing(topics.CUSTOMERS.name, partition, name.encode(), _encode(health)))
        fresh[name] = health
    await agent.deliver(requests)
    await agent.deliver(rows)
    customers.published.update(fresh)


def _same(health: CustomerHealth, known: CustomerHealth) -> bool:
    return (health.health, health.segment, health.holding) == (
        known.health,
        known.segment,
        known.holding,
    )
