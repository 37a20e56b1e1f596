"""A letter's bytes to the touchpoint a worker will take, the same each time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from producers.replay import Hashing, Mended, edits, mend
from schemas.decode import Rejection
from schemas.outcome import Reason
from tests.wire import NOW, touchpoint

HASHING = Hashing(b"key", "IR", frozenset())
PHONE = [{"kind": "phone", "value": "+98 912 345 6789"}]


def mended(raw: bytes, letter: str = "touchpoints:0:1:ab") -> Mended:
    found = mend(letter, raw, HASHING, NOW)
    assert isinstance(found, Mended), found
    return found


def encoded(**changes: Any) -> bytes:
    return json.dumps(touchpoint(**changes)).encode()


def test_an_event_id_that_is_missing_is_the_letters_own() -> None:
    raw = encoded(event_id=None)
    first = mended(raw)
    assert mended(raw) == first
    assert mended(encoded(event_id=None, type="click")).event_id == first.event_id
    assert mended(raw, "touchpoints:0:2:ab").event_id != first.event_id
    assert str(mended(encoded()).event_id) == touchpoint()["event_id"]


def test_identifiers_are_hashed_and_name_the_anchor() -> None:
    found = mended(encoded(identifiers=PHONE))
    assert found.anchor.startswith("phone:h-")
    assert b"912" not in found.wire
    again = mended(found.wire)
    assert (again.anchor, again.wire) == (found.anchor, found.wire)


@pytest.mark.parametrize(
    ("raw", "reason", "field"),
    [
        (b"\xff", Reason.MALFORMED_JSON, ""),
        (b"[1]", Reason.MALFORMED_JSON, ""),
        (b"[" * 100_000, Reason.MALFORMED_JSON, ""),
        (encoded(occurred_at="2026-11-22T08:30:00"), Reason.BAD_TIME, "occurred_at"),
        (encoded(colour="blue"), Reason.UNKNOWN_FIELD, "colour"),
    ],
)
def test_what_a_worker_would_reject_is_rejected(raw: bytes, reason: Reason, field: str) -> None:
    found = mend("touchpoints:0:1:ab", raw, HASHING, NOW)
    assert isinstance(found, Rejection)
    assert (found.reason, found.field) == (reason, field)


def test_a_file_gives_text_objects_or_base64_and_names_lines_that_do_not(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    lines = [
        '{"id": "a", "raw": "{\\"x\\": 1}", "reason": "ignored"}',
        '{"id": "b", "raw": {"x": 1}}',
        "",
        '{"id": "c", "raw_base64": "/w=="}',
        '{"id": "a", "raw": "again"}',
        "not json",
        '{"raw": "x"}',
        '{"id": "d"}',
        '{"id": "e", "raw_base64": "%"}',
        '["id"]',
    ]
    path.write_text("\n".join(lines) + "\n")
    found = list(edits(path))
    assert [(e.number, e.id, e.raw) for e in found if not e.fault] == [
        (1, "a", b'{"x": 1}'),
        (2, "b", b'{"x":1}'),
        (4, "c", b"\xff"),
    ]
    faults = {e.number: e.fault for e in found if e.fault}
    assert set(faults) == {5, 6, 7, 8, 9, 10}
    assert "line 1" in faults[5]
    assert '"raw"' in faults[8]
