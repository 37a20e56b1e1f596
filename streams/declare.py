"""Topics declared on the broker, idempotently, also where auto-creation is off."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, TopicAlreadyExistsError

from schemas.settings import Settings
from schemas.topics import TOPICS


class BrokerUnavailable(Exception):
    """Kafka cannot be reached; the message names the setting."""


async def declare(settings: Settings) -> list[str]:
    """Create the topics that do not exist yet; their names.

    Raises BrokerUnavailable, and what the broker answers to a declaration it refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        await admin.start()
    except KafkaConnectionError as error:
        raise BrokerUnavailable(
            f"Kafka at {settings.kafka} cannot be reached: start it, or set JOURNEY_KAFKA"
        ) from error
    try:
        known = set(await admin.list_topics())
        missing = [topic for topic in TOPICS if topic.name not in known]
        if missing:
            try:
                await admin.create_topics(
                    [
                        NewTopic(
                            name=topic.name,
                            num_partitions=topic.partitions or settings.partitions,
                            replication_factor=settings.replication,
                            topic_configs=topic.config(),
                        )
                        for topic in missing
                    ]
                )
            except TopicAlreadyExistsError:
                return []  # another process declared them at the same moment
        return [topic.name for topic in missing]
    finally:
        await admin.close()
