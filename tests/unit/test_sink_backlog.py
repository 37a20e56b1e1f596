from aiokafka import TopicPartition

from schemas.outcome import Member
from sinks.backlog import Batch, Limits
from tests.sink_records import record

P0, P1 = TopicPartition("identity.members", 0), TopicPartition("identity.members", 1)
MEMBER = Member("a", "b", 1)


def test_offsets_to_commit_are_one_past_the_last_of_each_partition() -> None:
    batch = Batch()
    batch.add({P0: [record(P0.topic, MEMBER, 0, n) for n in (4, 7)], P1: []})
    batch.add({P1: [record(P1.topic, None, 1, 9)], P0: [record(P0.topic, MEMBER, 0, 8)]})
    assert batch.next_offsets == {P0: 9, P1: 10}
    assert [r.offset for r in batch.records[P0.topic]] == [4, 7, 9, 8]
    assert batch.rows == 4


def test_it_is_full_by_rows_or_by_bytes() -> None:
    batch = Batch()
    batch.add({P0: [record(P0.topic, b"x" * 10), record(P0.topic, b"x" * 10)]})
    assert not batch.is_full(Limits(rows=3, bytes=21))
    assert batch.is_full(Limits(rows=2, bytes=21))
    assert batch.is_full(Limits(rows=3, bytes=20))


def test_it_is_written_when_full_or_a_gap_after_the_batch_before() -> None:
    limits = Limits(rows=2, gap=0.2)
    batch = Batch()
    assert not batch.is_due(limits, since=9)
    batch.add({P0: [record(P0.topic, MEMBER)]})
    assert not batch.is_due(limits, since=0.1)
    assert batch.is_due(limits, since=0.2)
    batch.add({P0: [record(P0.topic, MEMBER)]})
    assert batch.is_due(limits, since=0.0)
