"""Hostile records through a whole stack: each a dead letter, every valid neighbour counted once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from commands.send import wait_for_pipeline
from deploy.local.stack import Stack, recorded
from schemas.dead_letters import MAX_KEPT
from schemas.settings import load
from schemas.topics import TOUCHPOINTS
from sinks.clickhouse import connect
from tests.fuzz import pipeline
from tests.fuzz.records import KINDS, NEIGHBOUR, samples
from tests.servers import BROKER

pytestmark = [pytest.mark.integration, pytest.mark.broker]


@pytest.fixture(scope="module")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that takes any share of dead letters."""
    settings = load(
        BROKER | {"JOURNEY_DEAD_LETTER_LIMIT": "1"}, data=tmp_path_factory.mktemp("fuzz")
    )
    running = Stack(settings, workers=1, port_base=None, report=lambda *_: None)
    running.start(fresh=True)
    try:
        yield running
    finally:
        running.stop(drain=False)


def test_every_record_is_treated_as_it_has_to_be(tolerant: Stack) -> None:
    account, _ = pipeline.run(tolerant.settings, samples(seed=11, count=20_000))
    assert account.wrong == []
    assert set(account.sent) == {NEIGHBOUR, *KINDS}
    tolerant.watch()
    assert {part["restarts"] for part in recorded(tolerant.settings).values()} == {0}


def test_a_record_far_larger_than_a_message_becomes_a_letter(tolerant: Stack) -> None:
    """Compressed it passes the broker, and as it is it would not pass again."""
    raw = b'{"text": "' + b"x" * 8_000_000 + b'"}'
    producer = KafkaProducer(
        bootstrap_servers=tolerant.settings.kafka,
        compression_type="lz4",
        max_request_size=64 << 20,
    )
    sent = producer.send(TOUCHPOINTS.name, raw, partition=0).get(timeout=30)
    producer.close()
    wait_for_pipeline(tolerant.settings)
    client = connect(tolerant.settings.clickhouse.get_secret_value())
    found = client.execute(
        "SELECT reason, length(raw), cut FROM dead_letters FINAL "
        "WHERE topic = %(topic)s AND partition = 0 AND offset = %(offset)s",
        {"topic": TOUCHPOINTS.name, "offset": sent.offset},
    )
    client.disconnect()
    assert found == [("oversized", MAX_KEPT, len(raw) - MAX_KEPT)]
