"""State rebuilt from the ledger: what a broker that lost its topics needs to go on.

The same pure core that counts live touchpoints counts the ledger's, and writes what the agents
would have: links, members, anchors, parts, customers and accounts. The workers then find their
state as after any restart, and what comes next is counted on top of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from operator import attrgetter

import msgspec
from aiokafka import AIOKafkaProducer

from schemas import topics
from schemas.outcome import (
    Contact,
    JourneyStep,
    Link,
    Member,
    OutreachDecision,
    OutreachOutcome,
    contact_key,
)
from schemas.settings import Settings
from schemas.state import AnchorState, PartUpdate
from streams.cluster import WORKERS, commit
from streams.core import accounts
from streams.core.contacts import tell
from streams.core.guards import Guards
from streams.core.identifiers import own_identifiers
from streams.core.identity import Identities
from streams.core.journey import CustomerState
from streams.core.resolve import count, links_of, update_of
from streams.core.stitch import NO_RULES, evaluate
from streams.delivery import Outgoing, connect, deliver, partition_of
from streams.policy import load_policy

_BATCH = 2_000
_encode = msgspec.json.Encoder().encode


def anchors(
    ledger: Iterable[JourneyStep], identities: Identities
) -> Iterator[tuple[str, AnchorState]]:
    """The state of every anchor; the ledger comes grouped by anchor.

    Offsets start anew with the topic, so nothing counted has one; event ids are remembered.
    """
    for anchor, steps in groupby(ledger, key=attrgetter("anchor")):
        state = AnchorState()
        for offset, step in enumerate(steps):
            if count(state, step, offset):
                links_of(state, step)
        state.offset = -1
        customer = identities.customer_of(anchor)
        state.customer = "" if customer == anchor else customer
        yield anchor, state


async def rebuild(
    settings: Settings,
    ledger: Iterable[JourneyStep],
    links: Iterable[Link],
    reached: Mapping[str, Mapping[str, int]],
    decisions: Iterable[OutreachDecision],
    pasts: Mapping[str, Mapping[int, int]],
    outcomes: Iterable[OutreachOutcome],
    now_ms: int,
    progress: Callable[[int], None],
) -> int:
    """Write the state of a ledger to empty topics; touchpoints counted.

    `ledger` comes grouped by anchor; `reached` is what outreach did: identifier -> rule -> epoch
    ms. `decisions` are what the guard has to remember, in order of time, and `outcomes` what
    became of them; `pasts` is what the rules of accounts do: account -> day -> health. No worker
    may run. `progress` is told how many touchpoints are done.
    """
    policy = load_policy(settings.health_file)
    own = own_identifiers(
        settings.own_contacts, settings.identity_key_bytes(), settings.phone_region
    )
    identities = Identities(Guards(denied=own))
    known = list(links)
    changed = identities.learn(known)
    async with _writer(settings) as write:
        for link in known:
            await write(topics.LINKS, link.key(), _encode(link))
        for identifier, customer in changed.items():
            await write(topics.MEMBERS, identifier, _encode(Member(identifier, customer, 0)))
            # Where it has touchpoints this is overwritten below; else its first may come later.
            elsewhere = customer if customer != identifier else ""
            await write(topics.ANCHORS, identifier, _encode(AnchorState(customer=elsewhere)))
        # customer -> its parts, encoded: all of them are in memory once
        parts: dict[str, list[bytes]] = defaultdict(list)
        done = 0
        for anchor, state in anchors(ledger, identities):
            await write(topics.ANCHORS, anchor, _encode(state))
            update = update_of(anchor, state, received_ms=0)
            value = _encode(update)
            parts[update.customer].append(value)
            await write(topics.PARTS, f"{update.customer}\0{anchor}", value, update.customer)
            done += state.part.n
            progress(done)
        decode = msgspec.json.Decoder(PartUpdate).decode
        memory = by_customer(reached, identities)
        # account -> its contacts, likewise
        contacts: dict[str, list[Contact]] = defaultdict(list)
        for customer, values in parts.items():
            customer_state = CustomerState()
            for value in values:
                customer_state.take(decode(value))
            asked = memory.get(customer, {})
            health, _, contact = evaluate(customer, customer_state, asked, now_ms, policy)
            if contact is not None:
                told, updates = tell(customer, contact, health.told, 0, now_ms)
                health = msgspec.structs.replace(health, told=told)
                name = contact.row.account
                for one in updates:
                    key = contact_key(name, customer).decode()
                    await write(topics.CONTACTS, key, _encode(one), name)
                contacts[name].append(contact)
            await write(topics.CUSTOMERS, customer, _encode(health))
        for name, members in contacts.items():
            account, _ = accounts.stand(name, members, None, now_ms, policy, NO_RULES)
            account = msgspec.structs.replace(account, past=dict(pasts.get(name, {})))
            await write(topics.ACCOUNTS, name, _encode(account))
        for decision in decisions:
            await write(topics.OUTREACH, decision.key(), _encode(decision))
        for outcome in outcomes:
            await write(topics.OUTCOMES, outcome.key(), _encode(outcome))
        offsets = await write.flush()
    # What is rebuilt is not news: neither announced nor decided again.
    commit(settings, WORKERS, {at: n for at, n in offsets.items() if at[0] in _NOT_NEWS})
    return done


_NOT_NEWS = {topics.LINKS.name, topics.MEMBERS.name, topics.PARTS.name, topics.CONTACTS.name}


def by_customer(
    reached: Mapping[str, Mapping[str, int]], identities: Identities
) -> dict[str, dict[str, int]]:
    """The latest decision of each rule by present customer."""
    memory: dict[str, dict[str, int]] = {}
    for identifier, rules in reached.items():
        known = memory.setdefault(identities.customer_of(identifier), {})
        for rule, at in rules.items():
            known[rule] = max(at, known.get(rule, 0))
    return memory


class _Writer:
    """Sends records in batches and counts what each partition holds."""

    def __init__(self, producer: AIOKafkaProducer, partitions: Mapping[str, int]) -> None:
        self._producer = producer
        self._partitions = partitions
        self._pending: list[Outgoing] = []
        self._written: dict[tuple[str, int], int] = defaultdict(int)

    async def __call__(
        self, topic: topics.Topic, key: str, value: bytes, placed_by: str | None = None
    ) -> None:
        """Queue a record for the partition of `placed_by`, which is the key unless given."""
        partition = partition_of((placed_by or key).encode(), self._partitions[topic.name])
        self._pending.append(Outgoing(topic.name, partition, key.encode(), value))
        self._written[topic.name, partition] += 1
        if len(self._pending) >= _BATCH:
            await self.flush()

    async def flush(self) -> dict[tuple[str, int], int]:
        """Send what is queued; records written so far by (topic, partition)."""
        await deliver(self._producer, self._pending)
        self._pending = []
        return dict(self._written)


@asynccontextmanager
async def _writer(settings: Settings) -> AsyncIterator[_Writer]:
    async with connect(settings) as producer:
        names = [topic.name for topic in topics.TOPICS]
        counts = {name: len(await producer.partitions_for(name)) for name in names}
        yield _Writer(producer, counts)
