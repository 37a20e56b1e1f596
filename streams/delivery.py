"""Records on their way to the broker: batches per partition, acknowledged before we go on."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from schemas.settings import Settings
from streams.security import client_options

MAX_BATCH: Final = 900_000  # bytes; below Kafka's default message.max.bytes


class Outgoing(NamedTuple):
    """One record to send."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None


class RecordTooLarge(Exception):
    """A record does not fit a batch of its own; names the topic and the size in bytes."""


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
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def deliver(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> None:
    """Send records as batches, in order within a partition, and wait until all are acknowledged.

    Raises what the producer raises, once no batch is under way any more, and RecordTooLarge.
    """
    by_partition: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
    for record in records:
        by_partition[record.topic, record.partition].append(record)
    sent = [
        _deliver_partition(producer, topic, partition, batch)
        for (topic, partition), batch in by_partition.items()
    ]
    for result in await asyncio.gather(*sent, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _deliver_partition(
    producer: AIOKafkaProducer, topic: str, partition: int, records: list[Outgoing]
) -> None:
    acknowledged = []
    batch = producer.create_batch()
    for record in records:
        if batch.append(key=record.key, value=record.value, timestamp=None) is None:
            acknowledged.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                size = len(record.key) + len(record.value or b"")
                raise RecordTooLarge(f"a record of {size:,} bytes for topic {topic}")
    acknowledged.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*acknowledged)
