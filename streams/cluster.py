"""The Kafka cluster as an administrator sees it: topics declared, groups' offsets and lag."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NoError,
    NotCoordinatorError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata

from schemas import topics
from schemas.settings import Settings
from streams.security import client_options, why_unreachable

T = TypeVar("T")
WORKERS: Final = "journey"
_FETCH_SECONDS: Final = 10.0
_COORDINATOR_SECONDS: Final = 10.0
_COORDINATOR_AWAY: Final = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)
_BOOTSTRAP_MS: Final = 5_000
_LAG: Final = "min.compaction.lag.ms"
SINK: Final = "journey-sink"
DISPATCH: Final = "journey-dispatch"  # only where outreach has endpoints, so nobody waits for it
# consumer group -> topics it reads, in order of flow
READERS: Final = {
    WORKERS: (
        topics.TOUCHPOINTS,
        topics.LINKS,
        topics.MEMBERS,
        topics.PARTS,
        topics.CONTACTS,
        topics.REQUESTS,
    ),
    SINK: (
        topics.JOURNEYS,
        topics.LINKS,
        topics.MEMBERS,
        topics.PARTS,
        topics.CUSTOMERS,
        topics.ACCOUNTS,
        topics.OUTREACH,
        topics.OUTCOMES,
        topics.DEAD_LETTERS,
    ),
}


class BrokerUnavailable(Exception):
    """Kafka cannot be reached; the message names the setting."""


class GroupInUse(Exception):
    """Offsets cannot be set while a group has members."""


@contextmanager
def administer(settings: Settings) -> Iterator[KafkaAdminClient]:
    """An admin client, closed at the end; BrokerUnavailable where Kafka does not answer."""
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=settings.kafka,
            bootstrap_timeout_ms=_BOOTSTRAP_MS,
            **client_options(settings),
        )
    except KafkaError as error:
        raise BrokerUnavailable(why_unreachable(settings)) from error
    try:
        yield admin
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {settings.kafka}: {error}") from error
    finally:
        admin.close()


def declare(settings: Settings) -> list[str]:
    """Create the topics that do not exist yet, also where auto-creation is off; their names."""
    with administer(settings) as admin:
        known = set(admin.list_topics())
        missing = [topic for topic in topics.TOPICS if topic.name not in known]
        for topic in missing:
            declaration = NewTopic(
                name=topic.name,
                num_partitions=topic.partitions or settings.partitions,
                replication_factor=settings.replication,
                topic_configs=topic.config(settings.replication),
            )
            try:
                admin.create_topics([declaration], wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue  # another process declared it at the same moment
        return [topic.name for topic in missing]


def delete_topics(settings: Settings) -> None:
    """Delete our topics, and with them what groups have committed of them."""
    with administer(settings) as admin:
        known = set(admin.list_topics())
        admin.delete_topics([topic.name for topic in topics.TOPICS if topic.name in known])


def is_empty(settings: Settings) -> bool:
    """Whether nothing was ever written to our topics."""
    with _consumer(settings) as consumer:
        return not any(_ends(consumer).values())


@dataclass(frozen=True, slots=True)
class Incarnation:
    """What tells a topic from an earlier one of its name, and how long it surely keeps records."""

    id: str
    kept_ms: int


def incarnations(settings: Settings) -> dict[str, Incarnation]:
    """The incarnation of every compacted topic; raises BrokerUnavailable."""
    names = [topic.name for topic in topics.TOPICS if topic.compacted]
    with administer(settings) as admin:
        cluster = admin.describe_cluster()["cluster_id"]
        described = admin.describe_topics(names)
        configured = admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="all"
        )["topic"]
    return {
        topic["name"]: Incarnation(
            f"{cluster} {topic['topic_id']}",
            _kept_ms(configured[topic["name"]]),
        )
        for topic in described
    }


def _kept_ms(options: Mapping[str, Mapping[str, str]]) -> int:
    """Before compaction may drop a tombstone, since a later record of its key is enough for it."""
    declared = topics.ANCHORS.config(1)[_LAG]
    return int(options.get(_LAG, {}).get("value", declared))


def unread(settings: Settings) -> dict[tuple[str, str], int]:
    """Records of each (group, topic) that the group has not committed yet, in order of flow."""
    with administer(settings) as admin, _consumer(settings) as consumer:
        committed = _coordinated(
            lambda: {group: admin.list_group_offsets(group).get(group, {}) for group in READERS}
        )
        ends = _ends(consumer)
    return {
        (group, topic.name): sum(
            max(0, end - _offset(committed[group].get(tp)))
            for tp, end in ends.items()
            if tp.topic == topic.name
        )
        for group, read in READERS.items()
        for topic in read
    }


def committed(settings: Settings, group: str, topic: str) -> dict[int, int]:
    """A group's next offsets, by partition of a topic."""
    with administer(settings) as admin:
        offsets = _coordinated(lambda: admin.list_group_offsets(group).get(group, {}))
    return {tp.partition: _offset(found) for tp, found in offsets.items() if tp.topic == topic}


def wait_until_read(
    settings: Settings, progress: Callable[[int], None], patience: float, pause: float = 0.1
) -> int:
    """Wait until every group has read everything, twice in a row; records left unread.

    That is 0 unless nothing moved for `patience` seconds. `progress` is told what is unread, every
    `pause` seconds; a broker that is away for less than `patience` is waited for too.
    """
    quiet, behind, moved = 0, -1, time.monotonic()
    while True:
        try:
            found = sum(unread(settings).values())
        except BrokerUnavailable:
            if time.monotonic() - moved > patience:
                raise
        else:
            quiet = quiet + 1 if not found else 0
            if found != behind:
                behind, moved = found, time.monotonic()
        progress(max(behind, 0))
        if quiet == 2 or time.monotonic() - moved > patience:
            return behind
        time.sleep(pause)


def positions(settings: Settings) -> dict[tuple[str, int], int]:
    """The next offset of every (topic, partition)."""
    with _consumer(settings) as consumer:
        return {(tp.topic, tp.partition): end for tp, end in _ends(consumer).items()}


def unread_before(settings: Settings, ends: Mapping[tuple[str, int], int]) -> int:
    """Records before some positions that a group reading them has not committed yet."""
    with administer(settings) as admin:
        committed = {group: admin.list_group_offsets(group).get(group, {}) for group in READERS}
    reads = {(group, topic.name) for group, read in READERS.items() for topic in read}
    return sum(
        max(0, end - _offset(offsets.get(TopicPartition(topic, partition))))
        for group, offsets in committed.items()
        for (topic, partition), end in ends.items()
        if (group, topic) in reads
    )


def commit(settings: Settings, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Set a group's next offsets, by (topic, partition).

    Raises GroupInUse where the group has members, which have offsets of their own.
    """
    with administer(settings) as admin:
        wanted = {
            TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
            for (topic, partition), offset in offsets.items()
        }

        def alter() -> dict[TopicPartition, type[KafkaError]]:
            answers: dict[TopicPartition, type[KafkaError]] = admin.alter_group_offsets(
                group, wanted
            )
            for error in answers.values():
                if issubclass(error, _COORDINATOR_AWAY):
                    raise error(f"group {group}")
            return answers

        answers = _coordinated(alter)
    refused = sorted({error.__name__ for error in answers.values() if error is not NoError})
    if refused:
        raise GroupInUse(f"group {group}: {', '.join(refused)}; stop its members first")


def latest(settings: Settings, topic: topics.Topic, keys: Collection[str]) -> dict[str, bytes]:
    """The newest value of those keys of a compacted topic that have one: what a worker starts from.

    Reads the whole topic. Raises BrokerUnavailable where that stands still.
    """
    wanted = {key.encode(): key for key in keys}
    found: dict[str, bytes | None] = {}
    with _consumer(settings) as consumer:
        ends = {tp: end for tp, end in _ends(consumer).items() if end and tp.topic == topic.name}
    with _consumer(settings, fetch_bytes=1 << 20) as consumer:
        consumer.assign(list(ends))
        for tp in ends:
            consumer.seek(tp, 0)
        deadline = time.monotonic() + _FETCH_SECONDS
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for records in consumer.poll(timeout_ms=100).values():
                deadline = time.monotonic() + _FETCH_SECONDS
                found |= {wanted[r.key]: r.value for r in records if r.key in wanted}
            if time.monotonic() > deadline:
                raise BrokerUnavailable("Kafka does not answer fetches: see the broker's log")
    return {key: value for key, value in found.items() if value is not None}


def _coordinated(ask: Callable[[], T]) -> T:
    """Ask a group's coordinator; again while it is about to begin, as on a cluster just started."""
    deadline = time.monotonic() + _COORDINATOR_SECONDS
    while True:
        try:
            return ask()
        except _COORDINATOR_AWAY:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextmanager
def _consumer(settings: Settings, fetch_bytes: int = 1) -> Iterator[KafkaConsumer]:
    # One batch of a partition is enough to learn its end.
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=settings.kafka,
            max_partition_fetch_bytes=fetch_bytes,
            auto_offset_reset="earliest",
            **client_options(settings),
        )
        try:
            yield consumer
        finally:
            consumer.close()
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {settings.kafka}: {error}") from error


def _ends(consumer: KafkaConsumer) -> dict[TopicPartition, int]:
    """The next offset of every partition.

    Asking for the latest offset is not enough: Tansu answers with the first offset of the last
    batch plus one. The high watermark that comes with a fetch is right on every broker.
    """
    tps = [
        TopicPartition(topic.name, partition)
        for topic in topics.TOPICS
        for partition in consumer.partitions_for_topic(topic.name) or ()
    ]
    latest: dict[TopicPartition, int] = consumer.end_offsets(tps)
    filled = [tp for tp in tps if latest[tp]]
    consumer.assign(filled)
    for tp in filled:
        consumer.seek(tp, latest[tp] - 1)
    deadline = time.monotonic() + _FETCH_SECONDS
    while filled and any(consumer.highwater(tp) is None for tp in filled):
        consumer.poll(timeout_ms=50)
        if time.monotonic() > deadline:
            raise BrokerUnavailable("Kafka does not answer fetches: see the broker's log")
    return latest | {tp: consumer.highwater(tp) for tp in filled}


def _offset(committed: OffsetAndMetadata | None) -> int:
    return 0 if committed is None else max(0, committed.offset)
