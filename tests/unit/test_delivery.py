"""Records to partitions as every Kafka client would, and to batches in order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import InvalidTopicError, RequestTimedOutError
from aiokafka.partitioner import DefaultPartitioner as AiokafkaPartitioner
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from streams.delivery import (
    MAX_BATCH,
    Outgoing,
    OwnershipLost,
    RecordTooLarge,
    Written,
    deliver,
    deliver_while_owned,
    partition_of,
)

# Keys and their partition of 1,000 by murmur2 & 0x7fffffff, as Kafka's own tests have the hash:
# murmur2("21") = -973932308 and so on (UtilsTest.testMurmur2).
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), KNOWN.items())
def test_the_hash_is_kafkas(key: bytes, hashed: int) -> None:
    assert partition_of(key, 1_000) == (hashed & 0x7FFFFFFF) % 1_000


@given(st.binary(max_size=64), st.integers(1, 1024))
def test_partitions_are_those_of_kafka_python_and_aiokafka(key: bytes, partitions: int) -> None:
    everything = list(range(partitions))
    found = partition_of(key, partitions)
    assert found == (kafka_python_murmur2(key) & 0x7FFFFFFF) % partitions
    assert found == AiokafkaPartitioner()(key, everything, everything)


class Broker:
    """A producer that keeps what it is given; a batch holds 900,000 bytes."""

    def __init__(self, refuses: str = "") -> None:
        self.batches: list[tuple[str, int, list[tuple[bytes, bytes | None]]]] = []
        self.refuses = refuses
        self.acknowledged = 0

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, partition: int) -> asyncio.Future[Any]:
        offset = 10 * len(self.batches)
        self.batches.append((topic, partition, batch.records))
        return asyncio.ensure_future(self._acknowledge(topic, offset))

    async def _acknowledge(self, topic: str, offset: int) -> Any:
        await asyncio.sleep(0)
        if topic == self.refuses:
            raise OSError(f"{topic} is away")
        self.acknowledged += 1
        return SimpleNamespace(offset=offset)


class _Batch:
    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self._size = 0

    def append(self, *, key: bytes, value: bytes | None, timestamp: Any) -> object | None:
        size = len(key) + len(value or b"")
        if self._size + size > MAX_BATCH:
            return None
        self._size += size
        self.records.append((key, value))
        return self

    def record_count(self) -> int:
        return len(self.records)


def send(broker: Any, records: list[Outgoing]) -> list[Written]:
    return asyncio.run(deliver(broker, records))


def test_records_stay_in_order_within_a_partition_and_share_batches() -> None:
    records = [Outgoing("t", n % 2, b"k", b"%d" % n) for n in range(6)]
    broker = Broker()
    send(broker, [*records, Outgoing("u", 0, b"gone", None)])
    assert sorted(broker.batches) == [
        ("t", 0, [(b"k", b"0"), (b"k", b"2"), (b"k", b"4")]),
        ("t", 1, [(b"k", b"1"), (b"k", b"3"), (b"k", b"5")]),
        ("u", 0, [(b"gone", None)]),
    ]
    assert broker.acknowledged == 3


def test_a_full_batch_is_followed_by_another() -> None:
    broker = Broker()
    value = b"x" * (MAX_BATCH // 2 - 10)
    written = send(broker, [Outgoing("t", 0, b"%d" % n, value) for n in range(3)])
    assert [[key for key, _ in records] for _, _, records in broker.batches] == [
        [b"0", b"1"],
        [b"2"],
    ]
    assert written == [Written("t", 0, 0, 2), Written("t", 0, 10, 1)]


def test_a_record_larger_than_a_batch_is_named() -> None:
    with pytest.raises(RecordTooLarge, match=r"900,001 bytes for topic t"):
        send(Broker(), [Outgoing("t", 0, b"k", b"x" * MAX_BATCH)])


def test_a_refusal_is_raised_once_nothing_is_under_way() -> None:
    broker = Broker(refuses="t")
    with pytest.raises(OSError, match="t is away"):
        send(broker, [Outgoing("t", 0, b"k", b""), Outgoing("u", 0, b"k", b"")])
    assert broker.acknowledged == 1


class Failing(Broker):
    """Raises those errors, one for each batch, before it takes any."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def _acknowledge(self, topic: str, offset: int) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return await super()._acknowledge(topic, offset)


class Membership:
    """Unconfirmed for `age` seconds; asked, it gives the answers in turn."""

    def __init__(self, age: float, *answers: bool | None) -> None:
        self._age, self.answers = age, list(answers)

    def age(self) -> float:
        return self._age

    async def confirm(self) -> bool | None:
        return self.answers.pop(0)


class Outage:
    def __init__(self) -> None:
        self.told: list[str] = []

    def away(self, dependency: str, why: str) -> None:
        self.told.append(f"{dependency} away: {why}")

    def back(self, dependency: str) -> None:
        self.told.append(f"{dependency} back")


def persist(broker: Broker, membership: Membership) -> list[str]:
    outage, records = Outage(), [Outgoing("parts", 0, b"k", b"v")]
    producer: Any = broker
    asyncio.run(deliver_while_owned(producer, records, membership, outage))
    return outage.told


def test_a_broker_that_fails_is_tried_again_and_the_outage_is_told() -> None:
    broker = Failing(RequestTimedOutError(), RequestTimedOutError())
    told = persist(broker, Membership(age=1.0))
    away = "kafka_delivery away: RequestTimedOutError"
    assert told == [away, away, "kafka_delivery back"]
    assert broker.acknowledged == 1


def test_an_owner_that_was_not_confirmed_lately_asks_before_it_sends() -> None:
    broker, membership = Broker(), Membership(3.0, None, True)
    persist(broker, membership)
    assert membership.answers == []
    assert broker.acknowledged == 1


def test_a_former_owner_sends_nothing() -> None:
    broker = Broker()
    with pytest.raises(OwnershipLost):
        persist(broker, Membership(3.0, None, False))
    assert broker.batches == []


def test_an_error_that_would_come_again_is_raised_at_once() -> None:
    broker = Failing(InvalidTopicError())
    with pytest.raises(InvalidTopicError):
        persist(broker, Membership(age=1.0))
    assert len(broker.batches) == 1
