"""A worker: its agents' state by partition, what it does with a chunk, and what it looks after."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import chain, count
from typing import Any, Final

import faust
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types import TP

from schemas import topics
from schemas.decode import decode
from schemas.settings import Settings, SettingsError
from streams import metrics
from streams.agents import accounts, guard, identity, resolve, stitch
from streams.changelog import Changelog, Partitions, tail
from streams.cluster import WORKERS, BrokerUnavailable, committed, incarnations
from streams.core.dead_letter_limit import WINDOW, TooManyDeadLetters, Verdicts
from streams.core.guards import Guards
from streams.core.identifiers import own_identifiers
from streams.core.identity import Identities
from streams.core.progress import Lane
from streams.delivery import Outgoing, OwnershipLost, Written, connect, deliver_while_owned
from streams.outage import patiently
from streams.policy import load_policy
from streams.probes import KAFKA, Probes, describe
from streams.recovery import Recovery
from streams.retry import backoff
from streams.rights import lacking
from streams.rules import load_rules
from streams.security import client_options, refusal
from streams.standby import Standby
from streams.store import Released
from streams.transport import Chunk, ChunkConsumer

# changelog -> of two records of one key, the one that counts
MERGES: Final = {
    topics.ANCHORS.name: resolve.merge_states,
    topics.LINKS.name: identity.merge_links,
    topics.MEMBERS.name: identity.merge_members,
    topics.PARTS.name: stitch.merge_parts,
    topics.CUSTOMERS.name: stitch.merge_health,
    topics.CONTACTS.name: accounts.merge_contacts,
    topics.ACCOUNTS.name: accounts.merge_accounts,
    topics.OUTREACH.name: guard.merge_decisions,
}


class Worker:
    """The agents, the state of their partitions and the producer they share."""

    def __init__(self, settings: Settings) -> None:
        if settings.standby and settings.state is None:
            raise SettingsError("JOURNEY_STANDBY: set JOURNEY_STATE too, where its state is kept")
        self.settings = settings
        self.probes = Probes(settings.stuck_seconds)
        self.identity_key = settings.identity_key_bytes()
        self.app: faust.App
        self.producer: AIOKafkaProducer
        self._connections = AsyncExitStack()
        self.own = own_identifiers(settings.own_contacts, self.identity_key, settings.phone_region)
        self.partitions = 0
        self.recovery = Recovery(settings.state, self._consumer, self.deliver)
        self.anchors = Partitions(patiently(self._load_anchors, self.probes), resolve.States.close)
        self.identities = Partitions(
            patiently(self._load_identities, self.probes), identity.Known.close
        )
        self.customers = Partitions(
            patiently(self._load_customers, self.probes), stitch.Customers.close
        )
        self.accounts = Partitions(
            patiently(self._load_accounts, self.probes), accounts.Accounts.close
        )
        self.verdicts = Partitions(patiently(self._load_verdicts, self.probes))
        self.excess: TooManyDeadLetters | None = None  # what this worker stopped at
        self.generations = 0  # times that partitions were assigned
        self.waiting: set[str] = set()  # agents that lost a partition, until there is an assignment
        self.done: dict[TP, int] = {}  # last offset finished
        self.guards = Partitions(patiently(self._load_guard, self.probes), guard.Decisions.close)
        # topic -> the state that goes with its partitions
        self.states: dict[str, tuple[Partitions[Any], ...]] = {
            topics.TOUCHPOINTS.name: (self.anchors, self.verdicts),
            topics.LINKS.name: (self.identities,),
            topics.PARTS.name: (self.customers,),
            topics.CONTACTS.name: (self.accounts,),
            topics.REQUESTS.name: (self.guards,),
        }
        self.ruleset = load_rules(settings.rules_file)
        policy = load_policy(settings.health_file)
        self.stitch = stitch.Stitch(self.deliver, policy, self.ruleset)
        self.gather = accounts.Gather(self.deliver, policy, self.ruleset)

    async def reach_broker(self) -> None:
        """Return once the broker answers, however long it is away.

        Raises BrokerUnavailable where it answers and would not have us.
        """
        looking = asyncio.create_task(self.probes.observe(self.look))
        try:
            for attempt in count():
                try:
                    async with connect(self.settings):
                        lack = await asyncio.to_thread(lacking, self.settings, WORKERS)
                        if lack is not None:
                            raise BrokerUnavailable(lack)
                        break
                except KafkaError as error:
                    refused = await asyncio.to_thread(refusal, self.settings)
                    if refused is not None:
                        raise BrokerUnavailable(refused) from error
                    self.probes.away(KAFKA, describe(error))
                await asyncio.sleep(backoff(attempt))
            self.probes.back(KAFKA)
        finally:
            looking.cancel()

    async def start(self) -> None:
        """Connect the producer; raises KafkaConnectionError where the broker is away."""
        self.producer = await self._connections.enter_async_context(connect(self.settings))
        self.partitions = len(await self.producer.partitions_for(topics.TOUCHPOINTS.name))
        if self.settings.state is not None:
            self.recovery.incarnations = await asyncio.to_thread(incarnations, self.settings)

    async def stop(self) -> None:
        """Close the producer and the stores."""
        await self._connections.aclose()
        self.recovery.stop()

    async def deliver(self, records: list[Outgoing]) -> list[Written]:
        """Send and wait for the broker's acknowledgement, also through an outage of the broker.

        Raises OwnershipLost where our partitions may have another owner since.
        """
        consumer: ChunkConsumer = self.app.consumer
        return await deliver_while_owned(self.producer, records, consumer.membership(), self.probes)

    def look(self) -> tuple[Mapping[str, Lane], Mapping[str, str]]:
        """What waits and what moved, and what there is to do before the worker is ready."""
        if not self.generations:
            return {"group": Lane(waiting=True, mark=0)}, {"group": "has not given partitions yet"}
        consumer: ChunkConsumer = self.app.consumer
        consumer.beat()
        standing = consumer.waiting()
        loaded = metrics.count_of(metrics.RECOVERED)
        lanes = {
            "consumer thread": Lane(waiting=True, mark=consumer.beats),
            "group": Lane(waiting=self.app.rebalancing, mark=(self.generations, loaded)),
        }
        metrics.LAG.clear()
        for tp, (waiting, position, end) in standing.items():
            done = self.done.get(tp)
            lanes[f"{tp.topic} {tp.partition}"] = Lane(waiting, (position, done, loaded))
            following = position if done is None else done + 1
            if end is not None and following is not None:
                metrics.LAG.labels(tp.topic, str(tp.partition)).set(max(0, end - following))
        # A sweep reads state that nothing waits for.
        needed = any(waiting for waiting, _, _ in standing.values())
        held = chain.from_iterable(self.states.values())
        loading = sum(len(state.loading) for state in held) if needed else 0
        unready = {
            **({"group": "is assigning partitions"} if self.app.rebalancing else {}),
            **({"state": f"of {loading} partitions is being read"} if loading else {}),
        }
        return lanes, unready

    async def on_touchpoints(self, chunk: Chunk) -> None:
        """One chunk of `touchpoints` or `identity.members`: both change the same states."""
        partition = chunk[0].partition
        states = await self.anchors.get(partition)
        if chunk[0].topic == topics.TOUCHPOINTS.name:
            verdicts = await self.verdicts.get(partition, before=chunk[0].offset)
            now, agent = resolve.now_utc(), self._resolve()
            try:
                await resolve.resolve_touchpoints(agent, states, verdicts, partition, chunk, now)
            except TooManyDeadLetters as excess:
                self.excess = excess
                raise
        else:
            await resolve.resolve_members(self._resolve(), states, chunk)

    async def on_links(self, chunk: Chunk) -> None:
        """One chunk of `identity.links`."""
        known = await self.identities.get(chunk[0].partition, before=chunk[0].offset)
        await identity.identify(self.deliver, self.partitions, known, chunk)
        known.learned(chunk)

    async def on_parts(self, chunk: Chunk) -> None:
        """One chunk of `parts`."""
        partition = chunk[0].partition
        customers = await self.customers.get(partition)
        await stitch.stitch(self.stitch, customers, self.partitions, chunk, now_ms())

    async def on_contacts(self, chunk: Chunk) -> None:
        """One chunk of `accounts.contacts`."""
        partition = chunk[0].partition
        await accounts.gather(self.gather, await self.accounts.get(partition), chunk, now_ms())

    async def on_requests(self, chunk: Chunk) -> None:
        """One chunk of `outreach.requests`."""
        partition = chunk[0].partition
        await guard.decide(await self.guards.get(partition), chunk, now_ms())

    async def sweep(self, assigned: Iterable[TP]) -> None:
        """Look after the partitions assigned: what others wrote, and what time has changed."""
        for tp in assigned:
            # Its new owner does; or the broker is away, and it is done the next time.
            with suppress(Released, OwnershipLost, BrokerUnavailable):
                await self.audit(tp)
                if tp.topic == topics.PARTS.name:
                    customers = await self.customers.get(tp.partition)
                    await stitch.sweep(self.stitch, customers, self.partitions, now_ms())
                elif tp.topic == topics.CONTACTS.name:
                    await accounts.sweep(
                        self.gather, await self.accounts.get(tp.partition), now_ms()
                    )
                elif tp.topic == topics.REQUESTS.name:
                    await guard.sweep(await self.guards.get(tp.partition), now_ms())

    async def audit(self, tp: TP) -> None:
        """Put right what workers that do not own a partition any more wrote to its changelogs."""
        if tp.topic == topics.TOUCHPOINTS.name:
            await resolve.audit(self._resolve(), await self.anchors.get(tp.partition))
        elif tp.topic == topics.PARTS.name:
            await stitch.audit(self.stitch, await self.customers.get(tp.partition))
        elif tp.topic == topics.CONTACTS.name:
            await accounts.audit(self.gather, await self.accounts.get(tp.partition))
        elif tp.topic == topics.REQUESTS.name:
            (await self.guards.get(tp.partition)).log.learn([])  # the checkpoint is not old
        elif tp.topic == topics.LINKS.name:
            before = None
            if not self.identities.has(tp.partition):  # what was not announced yet is no state
                before = await self._announced(tp.partition)
            await (await self.identities.get(tp.partition, before)).audit()

    def assign(self, assigned: Collection[TP]) -> None:
        """The state of these partitions may be loaded from now on."""
        held = Counter(tp.topic for tp in assigned)
        for topic in topics.TOPICS:
            metrics.ASSIGNED.labels(topic.name).set(held[topic.name])
        for tp in assigned:
            for state in self.states.get(tp.topic, ()):
                state.own(tp.partition)
        self.waiting.clear()
        self.generations += 1

    def revoke(self, revoked: Collection[TP]) -> None:
        """Forget the state of partitions that may have another owner now."""
        for tp in revoked:
            self.done.pop(tp, None)
            for state in self.states.get(tp.topic, ()):
                state.drop(tp.partition)
            if tp.topic == topics.TOUCHPOINTS.name:
                with suppress(KeyError):
                    metrics.DEAD_LETTER_SHARE.remove(str(tp.partition))

    async def follow(self) -> None:
        """Keep the state of partitions that others own, until cancelled."""
        await Standby(self.settings, self.recovery, self._consumer, MERGES).run()

    def _resolve(self) -> resolve.Resolve:
        return resolve.Resolve(
            self.deliver,
            self.partitions,
            self.identity_key,
            self.settings.phone_region,
            self.own,
            self.settings.dead_letter_limit,
        )

    async def _announced(self, partition: int) -> int:
        """How far the group has done with `identity.links`; raises BrokerUnavailable."""
        found = await asyncio.to_thread(committed, self.settings, WORKERS, topics.LINKS.name)
        return found.get(partition, 0)

    async def _load_anchors(self, partition: int, _before: int | None) -> resolve.States:
        states = resolve.States(await self._recover(topics.ANCHORS, partition))
        await resolve.restate(self._resolve(), states)
        return states

    async def _load_identities(self, partition: int, before: int | None) -> identity.Known:
        links = await self._recover(topics.LINKS, partition, before)
        members = [self._recover(topics.MEMBERS, n) for n in range(self.partitions)]
        return identity.Known(
            Identities(Guards(denied=self.own)), links, await asyncio.gather(*members)
        )

    async def _load_customers(self, partition: int, _before: int | None) -> stitch.Customers:
        customers = stitch.Customers(
            await self._recover(topics.PARTS, partition),
            await self._recover(topics.CUSTOMERS, partition),
        )
        await stitch.restate(customers)
        return customers

    async def _load_accounts(self, partition: int, _before: int | None) -> accounts.Accounts:
        loaded = accounts.Accounts(
            await self._recover(topics.CONTACTS, partition),
            await self._recover(topics.ACCOUNTS, partition),
        )
        await accounts.restate(loaded)
        return loaded

    async def _load_verdicts(self, partition: int, before: int | None) -> Verdicts:
        """Judged again from the topic, so that a restart does not begin a window anew."""
        assert before is not None
        now, name = resolve.now_utc(), topics.TOUCHPOINTS.name
        return Verdicts(
            [
                resolve.reason_of(decode(record.value or b"", now))
                async for record in tail(self._consumer, name, partition, before, WINDOW)
            ]
        )

    async def _load_guard(self, partition: int, _before: int | None) -> guard.Decisions:
        log = await self._recover(topics.OUTREACH, partition)
        await log.restate()
        return guard.Decisions(self.ruleset, log)

    async def _recover(
        self, topic: topics.Topic, partition: int, before: int | None = None
    ) -> Changelog:
        return await self.recovery.recover(topic.name, partition, MERGES[topic.name], before)

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=10_000,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            **client_options(self.settings),
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


def now_ms() -> int:
    """The clock, in epoch milliseconds."""
    return time.time_ns() // 1_000_000
