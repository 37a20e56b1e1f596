import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from schemas import topics
from schemas.outcome import DeadLetter, JourneyStep, Member
from schemas.state import Part, PartUpdate
from sinks.decode import UndecodableRecord, decode
from sinks.rows import IDENTITY_MEMBERS, TABLES, TOPIC_TABLES, TOUCHPOINTS, Table
from tests.sink_records import record, step


def row(table: Table, columns: list[list[Any]], index: int = 0) -> dict[str, Any]:
    return {c.name: values[index] for c, values in zip(table.columns, columns, strict=True)}


def test_every_topic_of_results_has_a_table() -> None:
    names = {topic.name for topic in topics.TOPICS}
    between_agents = {topics.TOUCHPOINTS, topics.ANCHORS, topics.CONTACTS, topics.REQUESTS}
    for_others = {topics.MESSAGES}
    assert set(TOPIC_TABLES) == names - {topic.name for topic in between_agents | for_others}


def test_a_step_fills_every_column_from_its_own_field() -> None:
    given = step("cookie:1", 1_767_225_600_123, fields={"page": "/"}, identifiers=["cookie:1"])
    (decoded,) = decode("journeys", [record("journeys", given)])
    assert row(TOUCHPOINTS, TOUCHPOINTS.rows([decoded])) == {
        **{
            name: getattr(given, name)
            for name in JourneyStep.__struct_fields__
            if name not in ("occurred_ms", "received_ms", "event_id")
        },
        "event_id": UUID(given.event_id),
        "occurred_at": given.occurred_ms,
        "received_at": given.received_ms,
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_reads_a_field_that_the_record_has(table: Table) -> None:
    read = {c.field for c in table.columns}
    assert read >= set(table.record.__struct_fields__)
    assert all(hasattr(table.record, field) for field in read)
    assert table.rows([]) == [[] for _ in table.columns]


def test_a_part_is_stored_as_the_json_it_came_as_and_a_departed_part_is_not_stored() -> None:
    part = Part(n=3, days={20_000: {"touchpoints": 3}})
    kept = PartUpdate("cookie:1", "email:h", epoch=7, n=3, part=part)
    left = PartUpdate("cookie:1", "cookie:1", epoch=7, n=3, part=None)
    table = TOPIC_TABLES["parts"]
    columns = table.rows(decode("parts", [record("parts", kept), record("parts", left)]))
    stored = row(table, columns)
    assert len(columns[0]) == 1
    assert msgspec.json.decode(stored["part"], type=Part) == part
    assert (stored["anchor"], stored["customer"], stored["epoch"], stored["n"]) == (
        "cookie:1",
        "email:h",
        7,
        3,
    )


def test_a_dead_letter_keeps_bytes_that_are_no_text() -> None:
    letter = DeadLetter("touchpoints", 1, 2, "malformed_json", "", "m", b"\xff\x00{", 5)
    table = TOPIC_TABLES["dead-letters"]
    columns = table.rows(decode("dead-letters", [record("dead-letters", letter)]))
    assert row(table, columns)["raw"] == b"\xff\x00{"


def test_tombstones_are_no_rows() -> None:
    member = Member("cookie:1", "email:h", 1)
    records = [record("identity.members", None), record("identity.members", member)]
    assert IDENTITY_MEMBERS.rows(decode("identity.members", records)) == [
        ["cookie:1"],
        ["email:h"],
        [1],
    ]


@pytest.mark.parametrize("raw", [b"{", b'{"identifier":"a"}', b'"\xff"', b"null"])
def test_a_record_that_is_not_ours_is_named_by_its_place(raw: bytes) -> None:
    good = Member("cookie:1", "email:h", 1)
    records = [
        record("identity.members", good, partition=2, offset=40),
        record("identity.members", raw, partition=2, offset=41),
    ]
    with pytest.raises(UndecodableRecord, match=r"identity\.members partition 2 offset 41") as at:
        decode("identity.members", records)
    assert (at.value.topic, at.value.partition, at.value.offset) == ("identity.members", 2, 41)


def test_fields_unknown_to_this_version_of_the_sink_are_ignored() -> None:
    newer = json.dumps({"identifier": "a", "customer": "b", "epoch": 1, "later": True}).encode()
    assert decode("identity.members", [record("identity.members", newer)]) == [Member("a", "b", 1)]
