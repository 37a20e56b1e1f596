"""Records on their way to the broker: batches per partition, acknowledged before we go on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from schemas.settings import Settings
from streams.outage import Outage, is_transient
from streams.retry import backoff
from streams.security import client_options

MAX_BATCH: Final = 900_000  # bytes; below Kafka's default message.max.bytes
SESSION_SECONDS: Final = 6.0  # a member not heard of for so long loses its partitions
# Together no longer than a session: so a record is sent while nobody else can own its partition.
_CONFIRMED_SECONDS: Final = 2.0  # since the broker called us a member; heartbeats are one apart
_SEND_SECONDS: Final = 4.0  # from then on


class Outgoing(NamedTuple):
    """One record to send."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None


class Written(NamedTuple):
    """Where a run of records of one partition landed: so many from `offset` on."""

    topic: str
    partition: int
    offset: int
    records: int


class RecordTooLarge(Exception):
    """A record does not fit a batch of its own; names the topic and the size in bytes."""


class OwnershipLost(Exception):
    """While the broker was away it gave our partitions to others: our state of them is old."""


class Membership(Protocol):
    """What the broker says of our part in the group; `streams.transport` has the real one."""

    def age(self) -> float:
        """Seconds since it was confirmed."""

    async def confirm(self) -> bool | None:
        """Whether it holds; None where the broker does not answer."""


DELIVERY: Final = "kafka_delivery"


@lru_cache(maxsize=1 << 18)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives a key (murmur2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that waits for every replica; raises KafkaConnectionError.

    Not idempotent: every record is keyed so that a second copy changes nothing, and aiokafka
    keeps one batch per partition in flight, so order holds.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        compression_type="lz4",
        max_batch_size=MAX_BATCH,
        max_request_size=2 * MAX_BATCH,
        **client_options(settings),
        request_timeout_ms=round(_SEND_SECONDS * 1000),
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def deliver(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> list[Written]:
    """Send records as batches, in order within a partition, and wait until all are acknowledged.

    Where they landed, in order within a partition. A value of None deletes the key.

    Raises what the producer raises, once no batch is under way any more, and RecordTooLarge.
    """
    by_partition: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
    for record in records:
        by_partition[record.topic, record.partition].append(record)
    sent = [
        _deliver_partition(producer, topic, partition, batch)
        for (topic, partition), batch in by_partition.items()
    ]
    written: list[Written] = []
    for result in await asyncio.gather(*sent, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        written += result
    return written


async def deliver_while_owned(
    producer: AIOKafkaProducer,
    records: Collection[Outgoing],
    membership: Membership,
    outage: Outage,
) -> list[Written]:
    """`deliver`, again until the broker takes the records, as long as our partitions are ours.

    The broker must have called us a member moments before, for a record sent by a former owner
    would replace its successor's. Raises OwnershipLost, and at once what no further try would mend.
    """
    for attempt in count():
        if membership.age() > _CONFIRMED_SECONDS and not await _still(membership):
            outage.back(DELIVERY)
            raise OwnershipLost
        try:
            written = await deliver(producer, records)
        except KafkaError as error:
            if not is_transient(error):
                raise
            outage.away(DELIVERY, type(error).__name__)
        else:
            outage.back(DELIVERY)
            return written
        await asyncio.sleep(backoff(attempt))
    raise AssertionError


async def _still(membership: Membership) -> bool:
    """What the broker answers, however long it takes."""
    for attempt in count():
        answer = await membership.confirm()
        if answer is not None:
            return answer
        await asyncio.sleep(backoff(attempt))
    raise AssertionError


async def _deliver_partition(
    producer: AIOKafkaProducer, topic: str, partition: int, records: list[Outgoing]
) -> list[Written]:
    acknowledged = []
    counts = []
    batch = producer.create_batch()
    for record in records:
        if batch.append(key=record.key, value=record.value, timestamp=None) is None:
            counts.append(batch.record_count())
            acknowledged.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                size = len(record.key) + len(record.value or b"")
                raise RecordTooLarge(f"a record of {size:,} bytes for topic {topic}")
    counts.append(batch.record_count())
    acknowledged.append(await producer.send_batch(batch, topic, partition=partition))
    return [
        Written(topic, partition, landed.offset, count)
        for landed, count in zip(await asyncio.gather(*acknowledged), counts, strict=True)
    ]
