"""The state of partitions that others own, kept near their end, so that taking over is quick.

A standby reads the changelogs into the stores that this worker's agents do not hold. It writes to
no topic. When a partition becomes ours its agent takes the store away, which closes it here; what
the standby had not read, the agent reads as after any restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import topics
from schemas.settings import Settings
from streams import metrics
from streams.changelog import Changelog, Connect, Merge
from streams.cluster import WORKERS, BrokerUnavailable, committed
from streams.recovery import Recovery
from streams.retry import backoff
from streams.store import Released
from streams.transport import Record

POLL_SECONDS = 1.0
_FRESH_SECONDS = 60.0
_FEW = 1_000  # records; after more, the next round comes at once
log = logging.getLogger("journey.standby")


class Standby:
    """Follows every partition of the changelogs that nobody in this process owns."""

    def __init__(
        self, settings: Settings, recovery: Recovery, connect: Connect, merges: Mapping[str, Merge]
    ) -> None:
        self._settings = settings
        self._recovery, self._connect, self._merges = recovery, connect, merges
        self._mirrors: dict[TopicPartition, Changelog] = {}
        self._partitions: dict[str, set[int]] = {}  # of each topic, whose number never changes

    async def run(self) -> None:
        """Follow until cancelled, also through an outage of the broker."""
        attempt = 0
        while True:
            try:
                async with self._connect() as consumer:
                    while True:
                        await self.follow(consumer)
                        attempt = 0
            except (KafkaError, BrokerUnavailable) as error:
                log.warning("standby: %s", type(error).__name__)
                attempt += 1
                await asyncio.sleep(backoff(attempt))

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        """One round: take up what is free, let go of what is not, read what has come."""
        await self._take_up(consumer)
        announced = await self._announced()
        fetched = await consumer.getmany(timeout_ms=0) if self._mirrors else {}
        for tp, records in fetched.items():
            with suppress(Released):  # its owner is in this process since
                self._read(consumer, tp, records, announced)
        behind: Counter[str] = Counter()
        for tp, mirror in self._mirrors.items():
            left = max(0, (consumer.highwater(tp) or 0) - mirror.end)
            behind[tp.topic] += left
            if not left and mirror.age() > _FRESH_SECONDS:
                with suppress(Released):
                    mirror.learn([])  # so that the checkpoint is not taken for old
        for topic in self._merges:
            metrics.STANDBY_LAG.labels(topic).set(behind[topic])
        if sum(map(len, fetched.values())) < _FEW:
            await asyncio.sleep(POLL_SECONDS)

    def _read(
        self,
        consumer: AIOKafkaConsumer,
        tp: TopicPartition,
        records: Sequence[Record],
        announced: Mapping[int, int],
    ) -> None:
        mirror = self._mirrors[tp]
        before = announced.get(tp.partition, 0) if tp.topic == topics.LINKS.name else None
        known = [record for record in records if before is None or record.offset < before]
        if known:
            mirror.learn(known)
        if len(known) < len(records):
            consumer.seek(tp, mirror.end)

    async def _take_up(self, consumer: AIOKafkaConsumer) -> None:
        held = {tp: mirror for tp, mirror in self._mirrors.items() if not mirror.store.closed}
        free = {}
        for topic, merge in self._merges.items():
            for partition in await self._partitions_of(consumer, topic):
                tp = TopicPartition(topic, partition)
                if tp not in held and (store := self._recovery.spare(topic, partition)) is not None:
                    free[tp] = store, merge
        if not free and len(held) == len(self._mirrors):
            return
        ends = await consumer.end_offsets(list(free)) if free else {}
        for tp, (store, merge) in free.items():
            if not store.closed:
                self._recovery.check(store, tp.topic, tp.partition, ends[tp])
                held[tp] = self._recovery.mirror(store, tp.topic, tp.partition, merge)
        self._mirrors = held
        consumer.assign(list(held))
        for tp, mirror in held.items():
            consumer.seek(tp, mirror.end)

    async def _partitions_of(self, consumer: AIOKafkaConsumer, topic: str) -> set[int]:
        """Asked for once: aiokafka forgets topics of which nothing is assigned to a consumer."""
        if topic not in self._partitions:
            self._partitions[topic] = set(await consumer._client._wait_on_metadata(topic))
        return self._partitions[topic]

    async def _announced(self) -> dict[int, int]:
        """Of `identity.links`, what its owner has done with: its state is to hold no more.

        The identity agent announces what is news to it. State that held more would be silent.
        """
        if not any(tp.topic == topics.LINKS.name for tp in self._mirrors):
            return {}
        return await asyncio.to_thread(committed, self._settings, WORKERS, topics.LINKS.name)
