"""What the dispatcher remembers: the topic of outcomes, written before and after every attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.outcome import OutreachDecision, OutreachOutcome, Status
from schemas.touchpoint import IdentifierKind
from sinks.dispatch.message import moment
from streams.changelog import Connect, replay
from streams.delivery import DELIVERY, Outgoing, deliver, partition_of
from streams.outage import Outage, is_transient
from streams.retry import backoff

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(OutreachOutcome).decode
KEYED: Final = (topics.TOUCHPOINTS, topics.MESSAGES)  # those whose partitions it has to know
# What reached the customer, or may have: the journey shows it.
_TOUCHED: Final = frozenset({Status.SENT, Status.UNKNOWN})


@dataclass(slots=True)
class Known:
    """Decisions by id: those that nothing follows on, and those begun."""

    done: set[str] = field(default_factory=set)
    begun: dict[str, OutreachOutcome] = field(default_factory=dict)

    def take(self, outcome: OutreachOutcome) -> None:
        """Remember an outcome, unless a later one is known."""
        id_ = outcome.decision_id
        if id_ in self.done:
            return
        if outcome.final:
            self.done.add(id_)
            self.begun.pop(id_, None)
        elif (known := self.begun.get(id_)) is None or known.version < outcome.version:
            self.begun[id_] = outcome

    def forget(self, id_: str) -> bool:
        """Forget a decision; whether it was known."""
        known = id_ in self.done or id_ in self.begun
        self.done.discard(id_)
        self.begun.pop(id_, None)
        return known


async def load(connect: Connect) -> Known:
    """What stands in the topic of outcomes. Raises KafkaError."""
    known = Known()
    async for records, _ in replay(connect, topics.OUTCOMES.name, 0):
        for record in records:
            if record.value is not None:
                known.take(_decode(record.value))
            elif record.key is not None:
                known.forget(id_of(record.key))
    return known


def id_of(key: bytes) -> str:
    """The decision that a key of `outreach` or `outreach.outcomes` names."""
    return key.decode().partition("\0")[2]


class Journal:
    """Writes records, all that wait at once; patient with a broker that is away."""

    def __init__(
        self, producer: AIOKafkaProducer, partitions: Mapping[str, int], outage: Outage
    ) -> None:
        self.written = 0
        self._producer, self._partitions, self._outage = producer, partitions, outage
        self._writing = False
        self._waiting: list[tuple[list[Outgoing], list[Outgoing], asyncio.Future[None]]] = []
        self._news = asyncio.Event()

    @property
    def waits(self) -> bool:
        """Whether anything is to be written."""
        return self._writing or bool(self._waiting)

    async def run(self) -> None:
        """Write until cancelled. Raises what no further try would mend."""
        while True:
            self._writing = False
            await self._news.wait()
            self._writing = True
            self._news.clear()
            batch, self._waiting = self._waiting, []
            try:
                await self._deliver([record for first, _, _ in batch for record in first])
                await self._deliver([record for _, then, _ in batch for record in then])
            except BaseException:
                for _, _, written in batch:
                    written.cancel()
                raise
            self.written += len(batch)
            for _, _, written in batch:
                if not written.done():
                    written.set_result(None)

    async def write(self, first: Sequence[Outgoing], then: Sequence[Outgoing] = ()) -> None:
        """Return once the broker has all records; it has `first` before it is given `then`."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((list(first), list(then), written))
        self._news.set()
        await written

    async def record(self, outcome: OutreachOutcome) -> None:
        """Write an outcome, and before it the touchpoint where it touched the customer."""
        first = []
        if outcome.status in _TOUCHED and (touchpoint := touchpoint_of(outcome)) is not None:
            first.append(self._keyed(topics.TOUCHPOINTS, outcome.customer, touchpoint))
        key = outcome.key().encode()
        await self.write(first, [Outgoing(topics.OUTCOMES.name, 0, key, _encode(outcome))])

    async def forget(self, key: bytes) -> None:
        """Remove what became of a decision."""
        await self.write([], [Outgoing(topics.OUTCOMES.name, 0, key, None)])

    async def tell(self, decision: OutreachDecision, message: bytes) -> None:
        """Write a message for the company's own consumers."""
        await self.write([self._keyed(topics.MESSAGES, decision.customer, message)])

    def _keyed(self, topic: topics.Topic, key: str, value: bytes) -> Outgoing:
        home = partition_of(key.encode(), self._partitions[topic.name])
        return Outgoing(topic.name, home, key.encode(), value)

    async def _deliver(self, records: list[Outgoing]) -> None:
        for attempt in count():
            try:
                await deliver(self._producer, records)
            except KafkaError as error:
                if not is_transient(error):
                    raise
                self._outage.away(DELIVERY, type(error).__name__)
            else:
                self._outage.back(DELIVERY)
                return
            await asyncio.sleep(backoff(attempt))


def touchpoint_of(outcome: OutreachOutcome) -> bytes | None:
    """An outcome as a touchpoint, the same one whenever it is made; None for who has no name.

    It bears the customer's id alone: more identifiers would be evidence that they belong together.
    """
    kind, _, value = outcome.customer.partition(":")
    with suppress(ValueError):
        return _encode(
            {
                "event_id": str(uuid5(NAMESPACE_URL, f"outreach:{outcome.decision_id}")),
                "occurred_at": moment(outcome.at_ms),
                "channel": "outreach",
                "type": outcome.status,
                "identifiers": [{"kind": IdentifierKind(kind), "value": value}],
                "rule": outcome.rule,
                "by": outcome.channel,
                "decision": outcome.decision_id,
            }
        )
    return None
