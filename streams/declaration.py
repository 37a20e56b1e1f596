"""The cluster's topics against their declaration: what differs, and what of it can be set back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Final

from kafka.admin import ConfigResource

from schemas.settings import Settings
from schemas.topics import TOPICS, Topic
from streams.cluster import administer

PARTITIONS: Final = "partitions"
REPLICAS: Final = "replicas"
_UNSET: Final = "unset"


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the cluster has it; without partitions where it does not exist."""

    topic: Topic
    partitions: int
    replicas: int  # of the partition that has fewest
    config: dict[str, str]  # of the options we declare, those that the broker tells


@dataclass(frozen=True, slots=True)
class Difference:
    """A property that is not as declared: `partitions`, `replicas`, or an option of the broker."""

    topic: str
    name: str
    declared: str
    found: str

    @property
    def is_option(self) -> bool:
        """Whether it can be set back while records are in the topic."""
        return self.name not in {PARTITIONS, REPLICAS}


def examine(settings: Settings) -> list[FoundTopic]:
    """All our topics as the cluster has them; raises BrokerUnavailable."""
    with administer(settings) as admin:
        known = {topic.name for topic in TOPICS} & set(admin.list_topics())
        described = {found["name"]: found for found in admin.describe_topics(sorted(known))}
        # Every option: Tansu breaks the connection where only some are asked for.
        asked = [ConfigResource("TOPIC", name) for name in sorted(known)]
        options = admin.describe_configs(asked, config_filter="all").get("topic", {})
    return [
        _found(topic, described[topic.name]["partitions"], options.get(topic.name, {}), settings)
        if topic.name in known
        else FoundTopic(topic, 0, 0, {})
        for topic in TOPICS
    ]


def differences(found: Iterable[FoundTopic], settings: Settings) -> list[Difference]:
    """What is not as declared, in the order of topics."""
    return [
        Difference(each.topic.name, name, declared, there)
        for each in found
        for name, declared, there in _compared(each, settings)
        if declared != there
    ]


def set_back(settings: Settings, differing: Collection[Difference]) -> None:
    """Set the options that differ to what is declared; partitions and replicas stay.

    Raises BrokerUnavailable.
    """
    options = [difference for difference in differing if difference.is_option]
    with administer(settings) as admin:
        for topic, of_topic in groupby(options, key=attrgetter("topic")):
            declared = {difference.name: difference.declared for difference in of_topic}
            admin.alter_configs([ConfigResource("TOPIC", topic, declared)])


def _found(
    topic: Topic,
    partitions: list[dict[str, list[int]]],
    options: dict[str, dict[str, str]],
    settings: Settings,
) -> FoundTopic:
    told = {
        name: options[name]["value"]
        for name in topic.config(settings.replication)
        if name in options
    }
    replicas = min(len(partition["replica_nodes"]) for partition in partitions)
    return FoundTopic(topic, len(partitions), replicas, told)


def _compared(each: FoundTopic, settings: Settings) -> list[tuple[str, str, str]]:
    """(name, declared, found) of everything that is declared of a topic."""
    partitions = str(each.topic.partitions or settings.partitions)
    if not each.partitions:
        return [(PARTITIONS, partitions, "none")]
    declared = each.topic.config(settings.replication)
    return [
        (PARTITIONS, partitions, str(each.partitions)),
        (REPLICAS, str(settings.replication), str(each.replicas)),
        *((name, value, each.config.get(name, _UNSET)) for name, value in declared.items()),
    ]
