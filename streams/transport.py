"""The Faust transport that hands an agent one chunk at a time: all a fetch returned of a partition.

A chunk travels as one Faust message whose value is the list of records and whose offset is the
last record's, so that acknowledging it lets Faust commit past all of them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.settings import Settings


class Record(Protocol):
    """What of aiokafka's ConsumerRecord we use."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


Chunk = Sequence[Record]


def credentials(settings: Settings) -> SASLCredentials | SSLCredentials | None:
    """What Faust gives its clients to prove who we are to Kafka; None where that is not asked."""
    tls = settings.kafka_tls()
    if settings.kafka_password is not None:
        return SASLCredentials(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            ssl_context=tls,
            mechanism=settings.kafka_mechanism,
        )
    return None if tls is None else SSLCredentials(tls)


_FETCH_WAIT_MS: Final = 50


class _ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Lets a fetch wait a short time: on Tansu a record that arrives meanwhile does not wake it."""

    confirmed = -math.inf  # when the broker was last asked and called us a member

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """As Faust does, and to the beginning where nothing is committed yet.

        What a fetch under way returns after a rebalance, before records may flow, is read again
        from there. aiokafka stays where it is, behind what was returned.
        """
        found: Mapping[TP, int] = await super().seek_to_committed()
        if never := [tp for tp, offset in found.items() if not offset or offset < 0]:
            await self.call_thread(self._ensure_consumer().seek_to_beginning, *never)
        return found

    async def on_start(self) -> None:
        """Start, and note from now on when the broker last called us a member of the group."""
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        ask = coordinator._do_heartbeat

        async def heartbeat() -> bool:
            asked = time.monotonic()
            confirmed: bool = await ask()
            if confirmed:
                self.confirmed = asked
            return confirmed

        coordinator._do_heartbeat = heartbeat


class Membership:
    """Our membership in one generation of the group: partitions are ours as long as it holds."""

    def __init__(self, thread: _ChunkThread, generation: int) -> None:
        self._thread, self._generation = thread, generation

    def age(self) -> float:
        """Seconds since the broker confirmed it last; infinite where it is over."""
        return time.monotonic() - self._thread.confirmed if self._holds() else math.inf

    async def confirm(self) -> bool | None:
        """Ask the broker: whether it holds, None where there is no answer."""
        asked: Coroutine[Any, Any, bool | None] = self._ask()
        loop = self._thread.thread_loop
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, loop))

    async def _ask(self) -> bool | None:
        if self._holds() and await self._thread._ensure_consumer()._coordinator._do_heartbeat():
            return True
        return None if self._holds() else False

    def _holds(self) -> bool:
        generation: int = self._thread._ensure_consumer()._coordinator.generation
        return generation == self._generation


class Waiting(NamedTuple):
    """Whether records of a partition wait; the next offset to fetch, and the partition's end."""

    waiting: bool
    position: int | None
    end: int | None


class Owner(Protocol):
    """Who holds the state of partitions; `streams.app` has the real one."""

    def assign(self, assigned: Collection[TP]) -> None:
        """These are ours from now on."""

    def revoke(self, revoked: Collection[TP]) -> None:
        """These may have another owner as soon as this returns."""


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's aiokafka consumer, yielding a chunk where it would yield its records one by one."""

    beats = 0  # times that the loop of the consumer's thread ran for `beat`

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go of the partitions, before Faust does anything about it."""
        self.transport.owner.revoke(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Own the partitions, before Faust lets any of their records flow."""
        self.transport.owner.assign(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    def beat(self) -> None:
        """Ask the consumer's thread for one more of `beats`."""
        self._thread.thread_loop.call_soon_threadsafe(self._beat)

    def _beat(self) -> None:
        self.beats += 1

    def waiting(self) -> Mapping[TP, Waiting]:
        """What waits of each partition assigned.

        Records wait that were not fetched, or fetched and not acknowledged; also where the broker
        has not said yet how far the partition goes.
        """
        subscription = self._thread._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription else None
        if assignment is None:
            return {}
        generation = self.app.consumer_generation_id
        unacked = {
            message.tp
            for message in list(self.unacked)
            if not message.acked and message.generation_id == generation
        }
        found = {}
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            position = state.position if state.has_valid_position else None
            fetched = position is not None and state.highwater is not None
            behind = not fetched or state.highwater > position
            waits = Waiting(behind or tp in unacked, position, state.highwater)
            found[TP(tp.topic, tp.partition)] = waits
        return found

    def membership(self) -> Membership:
        """What the group has made of us until now, to be asked about later."""
        return Membership(self._thread, self.app.consumer_generation_id)

    def _new_consumer_thread(self) -> _ChunkThread:
        return _ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(
        self, active_partitions: set[TP] | None, timeout: float
    ) -> dict[TP, list[Chunk]]:
        fetched = await super()._getmany(active_partitions, timeout)
        return {tp: [records] for tp, records in fetched.items() if records}

    def _new_offset(self, tp: TP) -> int | None:
        """The offset after the newest chunk done: an agent finishes a partition's in order.

        Faust looks for gaps between acknowledged offsets, of which chunks are full, and stops
        committing a partition at those it did not notice, such as after a first chunk of one.
        """
        acked = self._acked[tp]
        if not acked:
            return None
        newest: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return newest + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: between the last offsets of chunks there is always one."""

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        chunk: Chunk = record
        message = super()._to_message(tp, chunk[-1])
        message.key = None
        message.value = chunk
        return message


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with a consumer of chunks; `streams.app` gives the app an instance."""

    Consumer: ClassVar[type[ChunkConsumer]] = ChunkConsumer
    owner: Owner
