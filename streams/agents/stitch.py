"""The stitch agent: parts to customers, their health, what it asks the guard and tells accounts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from schemas import topics
from schemas.outcome import ContactUpdate, CustomerHealth, contact_key, forget_key
from schemas.state import PartUpdate, part_of_key
from streams import metrics
from streams.changelog import Changelog
from streams.core.contacts import tell
from streams.core.health import Policy
from streams.core.journey import CustomerState
from streams.core.rules import RuleSet
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
    customers, as of the last sweep. Until one is over, accounts are told everything again: whoever
    had the partition before may have died between remembering that and doing it.
    """

    def __init__(self, parts: Changelog, health: Changelog) -> None:
        self.parts, self.health = parts, health
        self.counts: dict[tuple[str, ...], int] = {}
        self.swept = False
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
    ruleset: RuleSet
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


async def stitch(
    agent: Stitch,
    customers: Customers,
    partitions: int,
    chunk: Chunk,
    now_ms: int,
) -> None:
    """Take a chunk of `parts` and publish every customer it names.

    `parts` is the agent's changelog for states and `customers` for what was published, so there is
    nothing to write besides the output. A customer is published also where its state knew the
    part, since a recovered state may hold what was never published. Accounts are told after that:
    it says which of them may have a record of the customer.

    A tombstone erases whatever came before it: the customer forgets the anchor, and is forgotten
    with its last one.
    """
    erased = {record.key or b"": None for record in chunk if record.value is None}
    async with agent.turn:
        await _forget(agent, customers, partitions, erased)
        named = customers.take(chunk)
        await _publish(agent, customers, partitions, named, now_ms, trigger="touchpoint")
        await restate(customers)
        customers.trim()
    for received_ms in named.values():
        if received_ms:
            metrics.HEALTH_SECONDS.observe(max(0, now_ms - received_ms) / 1000)


async def sweep(agent: Stitch, customers: Customers, partitions: int, now_ms: int) -> None:
    """Publish the customers whose health or segment changed in silence, a slice at a time.

    Raises Released once the partition is not ours any more, before anything else is published.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    everyone = customers.names()
    while names := list(islice(everyone, SWEEP_SLICE)):
        async with agent.turn:
            known = dict.fromkeys((name for name in names if customers.is_known(name)), 0)
            for health in await _publish(agent, customers, partitions, known, now_ms, "sweep"):
                if health.identifiers:
                    counts[health.segment or "none", agent.policy.band(health.health)] += 1
            customers.trim()
        await asyncio.sleep(0)
    customers.counts, customers.swept = counts, True
    metrics.CUSTOMERS.share(customers)


async def _forget(
    agent: Stitch, customers: Customers, partitions: int, keys: Collection[bytes]
) -> None:
    """Drop parts; with its last one a customer goes, and the memory of what it was told.

    A customer who has others left is published by its next touchpoint or sweep. Anchors that left
    it before it went still name it: they are asked to forget it, and so are its accounts and the
    guard, which is asked to forget the anchors of those who stay as well.
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
    rows = {name: customers.published(name) for name in emptied}
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
        + [
            _to_account(account, name, None, partitions)
            for name, row in rows.items()
            for account in (row.told if row is not None else ())
        ]
        + [Outgoing(topics.REQUESTS.name, 0, name.encode(), None) for name in emptied]
        + [
            Outgoing(topics.REQUESTS.name, 0, key, None)
            for key in keys
            if part_of_key(key)[0] not in emptied
        ]
    )
    await customers.health.append([(name.encode(), None) for name in emptied])


async def restate(customers: Customers) -> None:
    """Send again what counts where another record stands last.

    That of a part comes back as input; the changelog of health has no other writer than its owner.
    """
    await customers.parts.resend()
    await customers.health.restate()


async def audit(agent: Stitch, customers: Customers) -> None:
    """Put right what workers that do not own the partition any more have written."""
    async with agent.turn:
        await customers.health.audit()
        customers.parts.learn([])  # so that the checkpoint is not taken for old
        await restate(customers)


async def _publish(
    agent: Stitch,
    customers: Customers,
    partitions: int,
    received: Mapping[str, int],
    now_ms: int,
    trigger: str,
) -> list[CustomerHealth]:
    """Evaluate customers and publish what is news; the health of each."""
    requests: list[Outgoing] = []
    rows: list[tuple[bytes, bytes]] = []
    updates: list[Outgoing] = []
    found: list[CustomerHealth] = []
    for name, received_ms in received.items():
        known = customers.published(name)
        health, asked, contact = evaluate(
            name,
            customers.state(name),
            known.reached if known else {},
            now_ms,
            agent.policy,
            agent.ruleset,
            known.holding if known else {},
            received_ms,
        )
        metrics.EVALUATIONS.labels(trigger).inc()
        found.append(health)
        told = known.told if known else {}
        news: list[ContactUpdate] = []
        if contact is not None or told:
            told, news = tell(
                name,
                contact,
                told,
                customers.parts.end,
                now_ms,
                received_ms,
                again=not customers.swept,
            )
            health = msgspec.structs.replace(health, told=told)
        if trigger == "sweep" and known and not asked and not news and _same(health, known):
            continue
        requests += [
            Outgoing(topics.REQUESTS.name, 0, name.encode(), _encode(one)) for one in asked
        ]
        rows.append((name.encode(), _encode(health)))
        updates += [_to_account(one.account, name, _encode(one), partitions) for one in news]
    await agent.deliver(requests)
    await customers.health.append(rows)
    if updates:
        await agent.deliver(updates)
    return found


def _to_account(account: str, customer: str, value: bytes | None, partitions: int) -> Outgoing:
    partition = partition_of(account.encode(), partitions)
    return Outgoing(topics.CONTACTS.name, partition, contact_key(account, customer), value)


def _same(health: CustomerHealth, known: CustomerHealth) -> bool:
    return (health.health, health.segment, health.holding) == (
        known.health,
        known.segment,
        known.holding,
    )
