import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from producers import publisher as publisher_module
from producers.importer import import_file
from producers.mapping import load_mapping
from producers.publisher import Publisher, PublishError
from producers.simulator import publish_simulation, simulate
from schemas.decode import Rejection, decode
from schemas.outcome import DeadLetter
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, TOUCHPOINTS
from tests.servers import running_broker

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CDNOW = Path(__file__).parents[2] / "examples" / "cdnow.toml"
Record = tuple[str, bytes]  # key, value


def settings_of(port: int) -> Settings:
    return Settings(kafka=f"127.0.0.1:{port}", identity_key="test key")


@pytest.fixture
def settings(broker_port: int) -> Settings:
    declare(broker_port)
    return settings_of(broker_port)


def declare(port: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    admin.create_topics([NewTopic(topic.name, 4, 1) for topic in (TOUCHPOINTS, DEAD_LETTERS)])
    admin.close()


def consumed(settings: Settings, topic: str) -> Iterator[tuple[int, str, bytes]]:
    """(partition, key, value) of all a topic holds; the embedded broker's end offsets are wrong,
    the high watermarks that come with what is fetched are right.
    """
    consumer: Any = KafkaConsumer(bootstrap_servers=settings.kafka)
    partitions = [TopicPartition(topic, number) for number in range(4)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    deadline = time.monotonic() + 30
    while not all(consumer.highwater(p) == consumer.position(p) for p in partitions):
        assert time.monotonic() < deadline, "the topic could not be read to its end"
        for where, batch in consumer.poll(200).items():
            for record in batch:
                yield where.partition, record.key.decode(), record.value
    consumer.close()


def everything(settings: Settings, topic: str) -> list[Record]:
    return [(key, value) for _, key, value in consumed(settings, topic)]


def test_every_record_arrives_under_its_key_in_its_order(settings: Settings) -> None:
    with Publisher(settings) as publisher:
        for number in range(3_000):
            publisher.publish(b"%d" % number, f"key-{number % 7}")
    assert (publisher.sent, publisher.delivered, publisher.failed) == (3_000, 3_000, 0)
    found = everything(settings, TOUCHPOINTS.name)
    assert sorted(int(value) for _, value in found) == list(range(3_000))
    for key in range(7):
        numbers = [int(value) for name, value in found if name == f"key-{key}"]
        assert numbers == list(range(key, 3_000, 7))


def test_partitions_are_those_of_kafkas_own_hash(settings: Settings) -> None:
    # murmur2 of these keys as Kafka's Java client has it (UtilsTest.testMurmur2), sign cut, mod 4.
    hashes = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
    with Publisher(settings) as publisher:
        for key in hashes:
            publisher.publish(b"x", key)
    found = {key: where for where, key, _ in consumed(settings, TOUCHPOINTS.name)}
    assert found == {key: (value & 0x7FFFFFFF) % 4 for key, value in hashes.items()}


def test_memory_is_bounded_by_waiting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = 256 * 1024
    monkeypatch.setattr(publisher_module, "MAX_PENDING_BYTES", limit)
    most = 0
    with Publisher(settings) as publisher:
        for number in range(2_000):
            publisher.publish(b"x" * 1_000, f"{number}")
            most = max(most, publisher.sent - publisher.failed - publisher.delivered)
    assert publisher.delivered == 2_000
    assert most * 1_000 <= limit


def test_no_broker_is_one_clear_error() -> None:
    began = time.monotonic()
    with pytest.raises(PublishError, match=r"^Kafka at 127.0.0.1:1 does not answer: start"):
        Publisher(settings_of(1), timeout=1)
    assert time.monotonic() - began < 5


@pytest.mark.broker
def test_a_broker_that_goes_away_loses_nothing_silently() -> None:
    with running_broker() as port:
        declare(port)
        publisher = Publisher(settings_of(port), timeout=2)
        publisher.publish(b"before", "key")
        publisher.flush()
    for number in range(100):
        publisher.publish(b"after", f"{number}")
    with pytest.raises(PublishError, match=r"JOURNEY_KAFKA=.*: 100 of 101 records were not"):
        publisher.flush()
    assert (publisher.sent, publisher.failed, publisher.delivered) == (101, 100, 1)
    publisher.close()


def test_the_simulation_is_sent_and_counted(settings: Settings) -> None:
    shown: list[int] = []
    with Publisher(settings) as publisher:
        counts = publish_simulation(
            simulate(3_000, 120, 1, NOW), publisher, b"test key", "IR", progress=shown.append
        )
    assert (counts.sent, counts.valid, counts.duplicates, counts.malformed) == (3_000, 2_967, 30, 3)
    assert shown == sorted(shown)
    assert shown[-1] == 3_000
    found = [decode(value, NOW) for _, value in everything(settings, TOUCHPOINTS.name)]
    ids = Counter(t.event_id for t in found if not isinstance(t, Rejection))
    assert len(found) == 3_000
    assert len(ids) == counts.valid
    assert sum(ids.values()) == counts.valid + counts.duplicates


def test_a_rate_is_kept(settings: Settings) -> None:
    began = time.monotonic()
    with Publisher(settings) as publisher:
        publish_simulation(simulate(1_024, 50, 1, NOW), publisher, b"k", "IR", rate=1_000)
    assert 0.9 < time.monotonic() - began < 5


def test_a_file_becomes_touchpoints_and_dead_letters(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "buys.txt"
    good = "".join(f"{n % 40:05} 1997010{1 + n % 9} 1 11.77\n" for n in range(500))
    path.write_text("00001 19970101 1 11.777\n" + good + "00001 19970199 1 1\n1 2\n")
    steps: list[tuple[int, int]] = []
    with Publisher(settings) as publisher:
        report = import_file(
            path, publisher, settings, NOW, mapping=load_mapping(CDNOW),
            progress=lambda done, total: steps.append((done, total)),
        )  # fmt: skip
    assert (report.lines, report.published, report.unique) == (503, 500, 500)
    assert report.rejected == [
        f"{path}:1: amount_minor: has more than 2 decimals",
        f"{path}:502: occurred_at: is not a time written as %Y%m%d",
        f"{path}:503: has 2 columns where 4 are expected",
    ]
    assert report.reasons == {"invalid_field": 1, "bad_time": 1, "missing_field": 1}
    assert steps[-1] == (path.stat().st_size,) * 2
    letters = dict(everything(settings, DEAD_LETTERS.name))
    places = {key.rpartition(":")[0]: key for key in letters}  # less the digest of the bytes
    assert set(places) == {f"import:buys.txt:0:{number}" for number in (1, 502, 503)}
    last = msgspec.json.decode(letters[places["import:buys.txt:0:503"]], type=DeadLetter)
    assert (last.raw, last.reason, last.offset) == (b"1 2", "missing_field", 503)
    found = everything(settings, TOUCHPOINTS.name)
    assert len(found) == 500
    assert all(key.startswith("customer:cdnow-000") for key, _ in found)


def test_importing_twice_sends_the_same_event_ids(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "buys.txt"
    path.write_text("1 19970101 1 11.77\n" * 3)
    with Publisher(settings) as publisher:
        for _ in range(2):
            import_file(path, publisher, settings, NOW, mapping=load_mapping(CDNOW))
    values = Counter(value for _, value in everything(settings, TOUCHPOINTS.name))
    assert sorted(values.values()) == [2, 2, 2]
