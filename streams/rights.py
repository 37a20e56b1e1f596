"""What workers and the sink need to do on Kafka, and what they may not: clients would just wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from aiokafka.errors import TopicAuthorizationFailedError
from kafka.admin import KafkaAdminClient
from kafka.errors import GroupAuthorizationFailedError

from schemas import topics
from schemas.settings import Settings
from streams.cluster import READERS, SINK, WORKERS, BrokerUnavailable, administer

RIGHTS: Final = "kafka_rights"
ASK_SECONDS: Final = 30.0
_NOT_AUTHORIZED: Final = 29  # Kafka's error code for a topic


class Permission(NamedTuple):
    """One operation on one topic or consumer group; words as in Kafka's documentation."""

    operation: str
    resource: str
    name: str


def each(operation: str, of: Iterable[topics.Topic]) -> Iterator[Permission]:
    """The operation on each of the topics."""
    return (Permission(operation, "topic", topic.name) for topic in of)


_COMPACTED: Final = [topic for topic in topics.TOPICS if topic.compacted]
# What workers read back besides what they take in.
_CHANGELOGS: Final = (topics.ANCHORS, topics.CUSTOMERS, topics.ACCOUNTS, topics.OUTREACH)
# consumer group -> what its members need. Who may read or write may describe too. Idempotent
# writing needs no right of its own since Kafka 3.0.
NEEDS: Final[dict[str, tuple[Permission, ...]]] = {
    WORKERS: (
        *each("read", {*READERS[WORKERS], *_CHANGELOGS}),
        *each("write", topics.TOPICS),  # touchpoints of another key go on to their partition
        *each("describe_configs", _COMPACTED),  # how long tombstones are kept
        Permission("read", "group", WORKERS),
    ),
    SINK: (*each("read", READERS[SINK]), Permission("read", "group", SINK)),
}
_ROLES: Final = {WORKERS: "worker", SINK: "sink"}


def lacking(settings: Settings, group: str) -> str | None:
    """What members of a group may not do, in one line that names the fix; None where nothing is.

    Asks the broker, without doing any of it. What does not exist is not lacking, nor anything on
    a broker that does not tell, or not now: a coordinator that is being elected, an outage.
    """
    needed = NEEDS[group]
    names = sorted({need.name for need in needed if need.resource == "topic"})
    try:
        with administer(settings) as admin:
            topics_told = admin.describe_topics(names)
            allowed = {("topic", told["name"]): _told(told) for told in topics_told}
            allowed["group", group] = _of_group(admin, group)
    except BrokerUnavailable:
        return None
    denied = [
        need
        for need in needed
        if (may := allowed.get((need.resource, need.name))) is not None
        and need.operation not in may
    ]
    if not denied:
        return None
    operation, resource, name = denied[0]
    more = f" and {len(denied) - 1} more" if len(denied) > 1 else ""
    user, role = settings.kafka_username or "NAME", _ROLES[group]
    return (
        f"Kafka at {settings.kafka} does not let us {operation} {resource} {name}{more}: "
        f"give the rights with `journey acls grant {role} User:{user}`"
    )


async def ask_rights(settings: Settings, group: str) -> None:
    """Raise TopicAuthorizationFailedError where members of a group lack a right by now."""
    lack = await asyncio.to_thread(lacking, settings, group)
    if lack is not None:
        raise TopicAuthorizationFailedError(lack)


def _told(of: dict[str, object]) -> set[str] | None:
    """Operations allowed; None where the broker does not say."""
    if of["error_code"]:
        return set() if of["error_code"] == _NOT_AUTHORIZED else None
    return _operations(of)


def _of_group(admin: KafkaAdminClient, group: str) -> set[str] | None:
    try:
        return _operations(admin.describe_groups([group])[group])
    except GroupAuthorizationFailedError:
        return set()
    except ValueError:  # the embedded broker names operations that Kafka has not
        return None


def _operations(of: dict[str, object]) -> set[str] | None:
    told = of.get("authorized_operations")
    return (
        {str(operation).lower() for operation in told} if isinstance(told, list) and told else None
    )
