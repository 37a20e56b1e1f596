"""A worker stops rather than drain a topic into dead letters, and goes on when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from schemas import topics
from schemas.settings import Settings
from streams.cluster import WORKERS, administer, declare
from tests.integration.journey import until
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

OVER = 3  # the exit code
GOOD = msgspec.json.encode(touchpoint(occurred_at="2026-03-01T00:00:00Z"))
BAD = b'{"channel": "telepathy"}'


@pytest.fixture
def settings(broker_port: int) -> Settings:
    found = Settings(kafka=f"127.0.0.1:{broker_port}", partitions=1)
    declare(found)
    return found


def send(settings: Settings, values: Iterable[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka)
    for value in values:
        producer.send(topics.TOUCHPOINTS.name, value, partition=0)
    producer.flush()
    producer.close()


def records(settings: Settings, topic: topics.Topic) -> int:
    """How many records a topic of one partition has."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
    tp = TopicPartition(topic.name, 0)
    consumer.assign([tp])
    found = 0
    while batch := consumer.poll(timeout_ms=500).get(tp):
        found += len(batch)
    consumer.close()
    return found


def committed(settings: Settings) -> int:
    with administer(settings) as admin:
        offsets = admin.list_group_offsets(WORKERS).get(WORKERS, {})
    found = offsets.get(TopicPartition(topics.TOUCHPOINTS.name, 0))
    return max(0, found.offset) if found else 0


@contextmanager
def worker(settings: Settings, limit: float | None = None) -> Iterator[subprocess.Popen[str]]:
    given = {} if limit is None else {"JOURNEY_DEAD_LETTER_LIMIT": str(limit)}
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.app"],
        env={
            **os.environ,
            "JOURNEY_KAFKA": settings.kafka,
            "JOURNEY_IDENTITY_KEY": "key",
            "JOURNEY_METRICS_PORT": "0",
            **given,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stopped(settings: Settings, limit: float | None = None) -> str:
    """Run a worker that stops at the limit; its last word, in one line."""
    with worker(settings, limit) as process:
        _, said = process.communicate(timeout=60)
        assert process.returncode == OVER, said
    assert "Traceback" not in said
    return said.strip().splitlines()[-1]


def reads_until(settings: Settings, done: Callable[[], bool], limit: float | None = None) -> str:
    """Run a worker until a condition holds; its page of metrics then."""
    with worker(settings, limit) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().rpartition(" ")[2]
        until(lambda: done() or process.poll() is not None, "it is not done", 60)
        assert process.poll() is None, process.communicate()[1]
        with urlopen(f"http://{address}/metrics") as answer:
            page = str(answer.read().decode())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    return page


def test_a_worker_stops_and_sends_nothing_until_the_limit_is_raised(settings: Settings) -> None:
    send(settings, [GOOD, BAD] * 400 + [BAD] * 800)
    said = stopped(settings)
    assert said.startswith("worker: touchpoints partition 0: ")
    assert "unknown_channel" in said
    assert "JOURNEY_DEAD_LETTER_LIMIT=0.5" in said
    assert stopped(settings) == said, "a restart lets a little more through each time"
    letters = records(settings, topics.DEAD_LETTERS)
    assert letters <= 500
    assert committed(settings) <= 2 * letters
    page = reads_until(settings, lambda: committed(settings) == 1_600, limit=1)
    assert records(settings, topics.DEAD_LETTERS) == 1_200
    assert 'journey_dead_letter_share{partition="0"} 0.9' in page
    # Touchpoints are welcome again with the limit in force; the same one counts once.
    send(settings, [GOOD] * 200)
    reads_until(settings, lambda: committed(settings) == 1_800)
    assert records(settings, topics.JOURNEYS) == 1


def test_what_earlier_workers_rejected_counts(settings: Settings) -> None:
    send(settings, [BAD] * 600)
    reads_until(settings, lambda: committed(settings) == 600)
    send(settings, [BAD] * 600)
    said = stopped(settings)
    assert "1,000 of the last 1,000 records" in said
    assert records(settings, topics.DEAD_LETTERS) == 600
    assert committed(settings) == 600
