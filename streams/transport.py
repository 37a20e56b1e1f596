"""The Faust transport that hands an agent one chunk at a time: all a fetch returned of a partition.

A chunk travels as one Faust message whose value is the list of records and whose offset is the
last record's, so that acknowledging it lets Faust commit past all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol

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

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's aiokafka consumer, yielding a chunk where it would yield its records one by one."""

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
