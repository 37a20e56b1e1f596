"""The stitch agent: parts to customers, their health and the outreach it calls for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from schemas import topics
from schemas.outcome import CustomerHealth, forget_key
from schemas.state import PartUpdate, part_of_key
from streams import metrics
from streams.changelog import Changelog
from streams.core.health import Policy
from streams.core.journey import CustomerState
from streams.core.stitch import evaluate, merge
from streams.delivery import Outgoing, partition_of
from streams.recent import Recent
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
decode_update = msgspec.json.Decoder(PartUpdate).decode
decode_health = msgspec.json.Decoder(CustomerHealth).decode
SWEEP_SLICE = 500


class Customers:
    """A partition's customers: parts by customer, the health last published, and how many are how.

    States are put together from the parts as they are needed. `counts` maps (segment, band) to
    customers, as of the last sweep.
    """

    def __init__(self, parts: Changelog, health: Changelog) -> None:
        self.parts, self.health = parts, health
        self.counts: dict[tuple[str, ...], int] = {}
        self._recent: Recent[CustomerState] = Recent()

    def state(self, customer: str) -> CustomerState:
        """The newest part of every anchor that is, or was, the customer's."""
        state = self._recent.get(customer)
        if state is None:
            state = self._recent.put(customer, CustomerState())
            for _, value in self.parts.store.under(customer.encode()):
                state.take(decode_update(value))
        return state

    def published(self, customer: str) -> CustomerHealth | None:
        """The health last published."""
        value = self.health.get(customer.encode())
        return None if value is None else decode_health(value)

    def names(self) -> Iterator[str]:
        """Every customer; they may change meanwhile."""
        return (name.decode() for name in self.parts.store.prefixes())

    def take(self, chunk: Chunk) -> dict[str, int]:
        """Learn a chunk of parts; its customers, with when their newest touchpoint was received."""
        learned = self.parts.learn(chunk)
        named: dict[str, int] = {}
        for key in dict.fromkeys(record.key for record in chunk):
            if key is None:
                continue
            value = learned[key] if key in learned else self.parts.get(key)
            if value is None:
                continue
            update = decode_update(value)
            known = self._recent.get(update.customer)
            if known is not None:
                known.take(update)
            if update.part is None and self.health.get(update.customer.encode()) is None:
                continue  # nobody was told of this customer
            named[update.customer] = max(update.received_ms, named.get(update.customer, 0))
        return named

    def is_known(self, customer: str) -> bool:
        """Whether it has a part, or anybody was told of it."""
        told = self.health.get(customer.encode()) is not None
        return told or bool(self.state(customer).parts())

    def trim(self) -> None:
        """Let go of states that were not needed lately."""
        self._recent.trim()

    def close(self) -> None:
        """Let go of the stores."""
        self.parts.close()
        self.health.close()


class _Version(msgspec.Struct):
    epoch: int
    n: int


_decode_version = msgspec.json.Decoder(_Version).decode


def merge_parts(known: bytes, news: bytes) -> bytes:
    """Of two records of one part, the newer one."""
    one, other = _decode_version(known), _decode_version(news)
    return known if (one.epoch, one.n) > (other.epoch, other.n) else news


def merge_health(known: bytes, news: bytes) -> bytes:
    """What two records of one customer's health say together."""
    last = decode_health(news)
    kept = merge(decode_health(known), last)
    return news if kept is last else _encode(kept)


@dataclass(frozen=True, slots=True)
class Stitch:
    """What stitching depends on. Chunks and sweeps take turns by `turn`."""

    deliver: Callable[[list[Outgoing]], Awaitable[object]]
    policy: Policy
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
    part, since a recovered state may hold what was never published.

    A tombstone erases whatever came before it: the customer forgets the anchor, and is forgotten
    with its last one.
    """
    erased = {record.key or b"": None for record in chunk if record.value is None}
    async with agent.turn:
        await _forget(agent, customers, partitions, erased)
        named = customers.take(chunk)
        await _publish(agent, customers, partition, named, now_ms, trigger="touchpoint")
        await restate(agent, customers)
        customers.trim()
    for received_ms in named.values():
        if received_ms:
            metrics.HEALTH_SECONDS.observe(max(0, now_ms - received_ms) / 1000)


async def sweep(agent: Stitch, customers: Customers, partition: int, now_ms: int) -> None:
    """Publish the customers whose health or segment changed in silence, a slice at a time.

    Raises Released once the partition is not ours any more, before anything else is published.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    everyone = customers.names()
    while names := list(islice(everyone, SWEEP_SLICE)):
        async with agent.turn:
            known = [name for name in names if customers.is_known(name)]
            for health in await _publish(agent, customers, partition, known, now_ms, "sweep"):
                if health.identifiers:
                    counts[health.segment or "none", agent.policy.band(health.health)] += 1
            customers.trim()
        await asyncio.sleep(0)
    customers.counts = counts
    metrics.CUSTOMERS.share(customers)


async def _forget(
    agent: Stitch, customers: Customers, partitions: int, keys: Iterable[bytes]
) -> None:
    """Drop parts; with its last one a customer goes, and the memory of what it was told.

    A customer who has others left is published by its next touchpoint or sweep. Anchors that left
    it before it went still name it: they are asked to forget it.
    """
    emptied: dict[str, None] = {}
    leavers: dict[tuple[str, str], None] = {}
    for key in keys:
        customer, anchor = part_of_key(key)
        state = customers.state(customer)
        state.members.pop(anchor, None)
        if not state.parts():
            emptied[customer] = None
            leavers |= dict.fromkeys((left, customer) for left in state.members)
    await agent.deliver(
        [
            Outgoing(
                topics.MEMBERS.name,
                partition_of(left.encode(), partitions),
                forget_key(left, customer).encode(),
                None,
            )
            for left, customer in leavers
        ]
    )
    await customers.health.append([(name.encode(), None) for name in emptied])


async def restate(agent: Stitch, customers: Customers) -> None:
    """Send again what counts where another record stands last.

    That of a part comes back as input; the changelog of health has no other writer than its owner.
    """
    parts = customers.parts
    if parts.stale:
        metrics.RESTATED.labels(parts.topic).inc(len(parts.stale))
        kept = [Outgoing(parts.topic, parts.partition, key, parts.get(key)) for key in parts.stale]
        await agent.deliver(kept)
        parts.stale.clear()
    if customers.health.stale:
        metrics.RESTATED.labels(customers.health.topic).inc(len(customers.health.stale))
        await customers.health.restate()


async def audit(agent: Stitch, customers: Customers) -> None:
    """Put right what workers that do not own the partition any more have written."""
    async with agent.turn:
        await customers.health.audit()
        customers.parts.learn([])  # so that the checkpoint is not taken for old
        await restate(agent, customers)


async def _publish(
    agent: Stitch,
    customers: Customers,
    partition: int,
    names: Iterable[str],
    now_ms: int,
    trigger: str,
) -> list[CustomerHealth]:
    """Evaluate customers and publish what is news; the health of each."""
    outreach: list[Outgoing] = []
    rows: list[tuple[bytes, bytes]] = []
    found: list[CustomerHealth] = []
    for name in names:
        known = customers.published(name)
        reached = known.reached if known else {}
        health, decisions = evaluate(name, customers.state(name), reached, now_ms, agent.policy)
        metrics.EVALUATIONS.labels(trigger).inc()
        found.append(health)
        if trigger == "sweep" and known and not decisions and _same(health, known):
            continue
        for decision in decisions:
            metrics.OUTREACH.labels(decision.rule, str(decision.taken).lower()).inc()
            outreach.append(
                Outgoing(topics.OUTREACH.name, partition, name.encode(), _encode(decision))
            )
        rows.append((name.encode(), _encode(health)))
    await agent.deliver(outreach)
    await customers.health.append(rows)
    return found


def _same(health: CustomerHealth, known: CustomerHealth) -> bool:
    return health.health == known.health and health.segment == known.segment
