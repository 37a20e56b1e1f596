import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from producers.importer import Accepted, judge
from producers.lines import read
from producers.mapping import CsvMapping, MappingError, compile_mapping, load_mapping
from schemas.outcome import DeadLetter

NOW = datetime(2026, 11, 22, tzinfo=UTC)
KEY = b"test key"
CDNOW = load_mapping(Path(__file__).parents[2] / "examples" / "cdnow.toml")
VISIT: dict[str, Any] = {
    "occurred_at": "2026-11-20T08:30:00+03:30",
    "channel": "web",
    "type": "page_view",
    "identifiers": [{"kind": "email", "value": "sara@example.org"}],
}
Write = Callable[[bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(content: bytes) -> Path:
        path = tmp_path / "given.txt"
        path.write_bytes(content)
        return path

    return writer


def verdicts(path: Path, mapping: CsvMapping | None = None) -> list[Accepted | DeadLetter]:
    lines = read(path, "csv" if mapping else "ndjson", mapping)
    return [judge(line, path.name, mapping, KEY, "IR", NOW) for line in lines]


def accepted(path: Path, mapping: CsvMapping | None = None) -> list[dict[str, Any]]:
    found = verdicts(path, mapping)
    assert all(isinstance(verdict, Accepted) for verdict in found), found
    return [json.loads(verdict.wire) for verdict in found if isinstance(verdict, Accepted)]


def dead(path: Path, mapping: CsvMapping | None = None) -> DeadLetter:
    (letter,) = (v for v in verdicts(path, mapping) if isinstance(v, DeadLetter))
    return letter


def mapping_with(**fields: object) -> CsvMapping:
    table = {
        "channel": "order",
        "type": "placed",
        "occurred_at": "2026-11-20T00:00:00Z",
        "identifiers": [{"kind": "customer", "column": "id"}],
        **fields,
    }
    return compile_mapping({"touchpoint": table}, "test")


def test_cdnow_lines_become_orders(write: Write) -> None:
    path = write(
        b" customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n"
    )
    (order,) = accepted(path, CDNOW)
    assert order.pop("event_id")
    assert order == {
        "schema_version": 1,
        "channel": "order",
        "type": "placed",
        "occurred_at": "1997-01-01T00:00:00+00:00",
        "amount_minor": 1177,
        "currency": "USD",
        "identifiers": [{"kind": "customer", "value": "cdnow-00001"}],
        "properties": {"quantity": 1},
    }


def test_cdnow_without_a_header_is_the_same(write: Write) -> None:
    line = b" 00001 19970101  1   11.77\r\n"
    bare = accepted(write(line), CDNOW)
    header = b" customer_id  date number_of_cds  dollar_value\r\n"
    assert accepted(write(header + line), CDNOW) == bare


@pytest.mark.parametrize("mapping", [CDNOW, None], ids=["csv", "ndjson"])
def test_twin_lines_stay_two_and_the_file_twice_adds_none(
    mapping: CsvMapping | None, write: Write
) -> None:
    twin = b"1 19970101 1 11.77\n" if mapping else json.dumps(VISIT).encode() + b"\n"
    other = twin.replace(b"1 1997", b"2 1997").replace(b"page_view", b"search")
    path = write(twin + other + twin)
    first = [touchpoint["event_id"] for touchpoint in accepted(path, mapping)]
    again = [touchpoint["event_id"] for touchpoint in accepted(path, mapping)]
    assert first == again
    assert len(set(first)) == 3
    # Lines that are added later leave the ids of those before as they were.
    assert [t["event_id"] for t in accepted(write(twin + twin), mapping)] == [first[0], first[2]]


def test_ids_differ_between_mappings(write: Write) -> None:
    path = write(b"id\n7\n")
    table = {
        "channel": "store",
        "type": "visit",
        "occurred_at": "2026-11-20T00:00:00Z",
        "identifiers": [{"kind": "customer", "column": "id"}],
    }
    ids = {
        accepted(path, compile_mapping({"touchpoint": table}, name))[0]["event_id"]
        for name in ("a", "b")
    }
    assert len(ids) == 2


def test_ndjson_keeps_an_event_id_and_skips_blank_lines_and_the_bom(write: Write) -> None:
    own = {**VISIT, "event_id": "80ec997f-0a76-4be8-ab62-6d1a136fd055"}
    path = write(b"\xef\xbb\xbf" + json.dumps(own).encode() + b"\r\n\r\n  \n")
    (touchpoint,) = accepted(path)
    assert touchpoint["event_id"] == own["event_id"]


@pytest.mark.parametrize(
    ("line", "reason", "field"),
    [
        (b'{"a": 1', "malformed_json", ""),
        (b"[1]", "malformed_json", ""),
        (b'"\xff"', "malformed_json", ""),
        (b"[" * 100_000, "malformed_json", ""),
        (json.dumps({**VISIT, "channel": "fax"}).encode(), "unknown_channel", "channel"),
        (json.dumps({**VISIT, "colour": "blue"}).encode(), "unknown_field", "colour"),
        (json.dumps({**VISIT, "identifiers": []}).encode(), "invalid_field", "identifiers"),
        (json.dumps({**VISIT, "occurred_at": "2026-11-20"}).encode(), "bad_time", "occurred_at"),
        (json.dumps({**VISIT, "text": "x" * 70_000}).encode(), "oversized", ""),
        (b'"' + b"x" * 600_000 + b'"', "oversized", ""),
    ],
)
def test_bad_ndjson_is_a_dead_letter_and_the_next_line_is_read(
    line: bytes, reason: str, field: str, write: Write
) -> None:
    path = write(json.dumps(VISIT).encode() + b"\n" + line + b"\n" + json.dumps(VISIT).encode())
    found = verdicts(path)
    assert [type(verdict) for verdict in found] == [Accepted, DeadLetter, Accepted]
    letter = found[1]
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.field) == (reason, field)
    assert (letter.topic, letter.partition, letter.offset) == ("import:given.txt", 0, 2)
    assert letter.received_ms == 1_795_305_600_000
    assert len(letter.raw) <= 300_000


def test_a_dead_letter_keeps_the_bytes_of_what_could_not_be_parsed(write: Write) -> None:
    assert dead(write(b'{"torn": "sara\n')).raw == b'{"torn": "sara'


def test_a_dead_letter_hashes_identifiers_it_could_tell(write: Write) -> None:
    letter = dead(write(json.dumps({**VISIT, "channel": "fax"}).encode()))
    assert b"sara@" not in letter.raw
    assert b'"value":"h-' in letter.raw
    assert json.loads(letter.raw)["channel"] == "fax"


def test_a_csv_dead_letter_hashes_the_columns_of_identifiers(write: Write) -> None:
    mapping = mapping_with(
        identifiers=[{"kind": "email", "column": "mail"}],
        amount_minor={"column": "paid", "scale": 2},
    )
    letter = dead(write(b"mail,paid\nsara@example.org,ten\n"), mapping)
    assert (letter.reason, letter.field, letter.offset) == ("invalid_field", "amount_minor", 2)
    assert letter.message == "is not a number such as 1234.50"
    row = json.loads(letter.raw)
    assert row["paid"] == "ten"
    assert row["mail"].startswith("email:h-")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,n\n1\n", "has 1 columns where 2 are expected"),
        (b"id,n\n1,2,3\n", "has 3 columns where 2 are expected"),
        (b'id,n\n"1"x,2\n', "is not CSV"),
        (b"id,n\n\xff,2\n", "is not UTF-8"),
        (b'id,n\n1,"never closed\n', "is not CSV"),
    ],
)
def test_rows_that_do_not_parse(content: bytes, message: str, write: Write) -> None:
    letter = dead(write(content), mapping_with())
    assert letter.message.startswith(message)
    assert letter.raw == content.splitlines()[1]


def test_a_quoted_cell_may_span_lines(write: Write) -> None:
    mapping = mapping_with(text={"column": "said"})
    path = write('\ufeffid,said\n1,"one\ntwo, ""three"""\n2,چهار\n'.encode())
    numbers = [line.number for line in read(path, "csv", mapping)]
    assert numbers == [2, 4]
    assert [t["text"] for t in accepted(path, mapping)] == ['one\ntwo, "three"', "چهار"]


def test_a_bad_time_in_a_cell_is_a_bad_time(write: Write) -> None:
    at = {"column": "at", "format": "%Y/%m/%d", "zone": "Asia/Tehran", "calendar": "jalali"}
    letter = dead(write(b"id,at\n7,1405/13/01\n"), mapping_with(occurred_at=at))
    assert (letter.reason, letter.field) == ("bad_time", "occurred_at")
    assert letter.message == "month 13 is outside 1 to 12"


def test_blank_cells_are_left_out(write: Write) -> None:
    mapping = mapping_with(
        text={"column": "said"},
        order={"template": "o-{said}"},
        identifiers=[{"kind": "customer", "column": "id"}, {"kind": "phone", "column": "said"}],
        properties={"said": {"column": "said"}, "sure": {"column": "id", "as": "boolean"}},
    )
    (touchpoint,) = accepted(write(b"id,said\n1, \n"), mapping)
    assert not {"text", "order"} & touchpoint.keys()
    assert touchpoint["identifiers"] == [{"kind": "customer", "value": "1"}]
    assert touchpoint["properties"] == {"sure": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "touchpoint.colour: is not known"),
        ({"identifiers": []}, "touchpoint.identifiers: give a list"),
        ({"identifiers": [{"kind": "pet", "column": "id"}]}, "touchpoint.identifiers.0.kind"),
        ({"order": {"scale": 2}}, "touchpoint.order.column"),
        ({"order": {"column": "n", "scale": "x"}}, "touchpoint.order: scale"),
        ({"order": {"column": "n", "scale": 2, "as": "integer"}}, "touchpoint.order: as"),
        ({"order": {"template": "{"}}, "touchpoint.order: template"),
        ({"promised_at": {"column": "n", "format": "%Y"}}, "touchpoint.promised_at: zone"),
        ({"promised_at": {"column": "n", "format": "%Y", "zone": "Mars"}}, "zone: Mars"),
    ],
)
def test_a_wrong_mapping_names_the_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        mapping_with(**change)


def test_files_that_do_not_fit_the_mapping(write: Write, tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="column 'id' is not among the header's: a, b"):
        verdicts(write(b"a,b\n1,2\n"), mapping_with())
    with pytest.raises(MappingError, match="CSV needs a mapping"):
        list(read(write(b"a\n"), "csv"))
    with pytest.raises(MappingError, match="No such file"):
        load_mapping(tmp_path / "none.toml")
    with pytest.raises(MappingError, match="is not TOML"):
        load_mapping(write(b"= 1"))
