"""Every way a record is not a touchpoint: its reason, with the field named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.decode import Rejection, decode
from schemas.outcome import Reason
from tests.wire import NOW, touchpoint

COOKIE = {"kind": "cookie", "value": "c"}
NAN, INFINITY = float("nan"), float("inf")
# (what changes, reason, field)
WRONG: list[tuple[dict[str, Any], Reason, str]] = [
    ({"channel": "telepathy"}, Reason.UNKNOWN_CHANNEL, "channel"),
    ({"channel": 3}, Reason.UNKNOWN_CHANNEL, "channel"),
    ({"channel": None}, Reason.MISSING_FIELD, "channel"),
    ({"event_id": None}, Reason.MISSING_FIELD, "event_id"),
    ({"occurred_at": None}, Reason.MISSING_FIELD, "occurred_at"),
    ({"type": None}, Reason.MISSING_FIELD, "type"),
    ({"identifiers": None}, Reason.MISSING_FIELD, "identifiers"),
    ({"identifiers": [{"kind": "cookie"}]}, Reason.MISSING_FIELD, "identifiers.0.value"),
    ({"colour": "blue"}, Reason.UNKNOWN_FIELD, "colour"),
    ({"branch": "Tehran 3"}, Reason.UNKNOWN_FIELD, "branch"),
    ({"identifiers": [COOKIE, {**COOKIE, "x": 1}]}, Reason.UNKNOWN_FIELD, "identifiers.1.x"),
    ({"occurred_at": "2026-11-22T08:30:00"}, Reason.BAD_TIME, "occurred_at"),
    ({"occurred_at": "2026-11-22"}, Reason.BAD_TIME, "occurred_at"),
    ({"occurred_at": "2026-13-22T08:30:00Z"}, Reason.BAD_TIME, "occurred_at"),
    ({"occurred_at": 1_795_334_400}, Reason.BAD_TIME, "occurred_at"),
    ({"occurred_at": "1795334400"}, Reason.BAD_TIME, "occurred_at"),
    ({"occurred_at": "1969-12-31T23:59:59Z"}, Reason.BAD_TIME, "occurred_at"),
    ({"occurred_at": "2026-11-22T12:05:00.001Z"}, Reason.BAD_TIME, "occurred_at"),
    ({"channel": "order", "promised_at": "2026-12-01T00:00:00"}, Reason.BAD_TIME, "promised_at"),
    ({"identifiers": [COOKIE] * 17}, Reason.OVERSIZED, "identifiers"),
    ({"identifiers": [{**COOKIE, "value": "x" * 257}]}, Reason.OVERSIZED, "identifiers.0.value"),
    ({"text": "x" * 8_193}, Reason.OVERSIZED, "text"),
    ({"account": "x" * 257}, Reason.OVERSIZED, "account"),
    ({"page": "x" * 2_049}, Reason.OVERSIZED, "page"),
    ({"properties": {"note": "x" * 2_049}}, Reason.OVERSIZED, "properties.note"),
    ({"properties": {str(n): n for n in range(65)}}, Reason.OVERSIZED, "properties"),
    ({"event_id": "42"}, Reason.INVALID_FIELD, "event_id"),
    ({"event_id": 42}, Reason.INVALID_FIELD, "event_id"),
    ({"schema_version": 2}, Reason.INVALID_FIELD, "schema_version"),
    ({"type": "PageView"}, Reason.INVALID_FIELD, "type"),
    ({"type": "a" * 65}, Reason.INVALID_FIELD, "type"),
    ({"identifiers": []}, Reason.INVALID_FIELD, "identifiers"),
    ({"identifiers": [{**COOKIE, "kind": "fax"}]}, Reason.INVALID_FIELD, "identifiers.0.kind"),
    ({"identifiers": [{**COOKIE, "value": " "}]}, Reason.INVALID_FIELD, "identifiers.0.value"),
    ({"identifiers": [{**COOKIE, "value": "a\0b"}]}, Reason.INVALID_FIELD, "identifiers.0.value"),
    ({"language": "de"}, Reason.INVALID_FIELD, "language"),
    ({"properties": ["no", "object"]}, Reason.INVALID_FIELD, "properties"),
    ({"properties": {"nested": {"a": 1}}}, Reason.INVALID_FIELD, "properties.nested"),
    ({"properties": {"share": NAN}}, Reason.INVALID_FIELD, "properties.share"),
    ({"properties": {"a": 1, "share": -INFINITY}}, Reason.INVALID_FIELD, "properties.share"),
    ({"channel": "call_center", "wait_seconds": -1}, Reason.INVALID_FIELD, "wait_seconds"),
    ({"channel": "call_center", "wait_seconds": NAN}, Reason.INVALID_FIELD, "wait_seconds"),
    ({"channel": "order", "amount_minor": 12.5}, Reason.INVALID_FIELD, "amount_minor"),
    ({"channel": "order", "amount_minor": 10**15 + 1}, Reason.INVALID_FIELD, "amount_minor"),
    ({"channel": "order", "currency": "usd"}, Reason.INVALID_FIELD, "currency"),
    ({"channel": "store", "rating": 6}, Reason.INVALID_FIELD, "rating"),
    ({"channel": "chat", "direction": "sideways"}, Reason.INVALID_FIELD, "direction"),
    ({"channel": "survey", "survey": "nps", "answer": 11}, Reason.INVALID_FIELD, "answer"),
    ({"channel": "survey", "survey": "csat", "answer": 0}, Reason.INVALID_FIELD, "answer"),
    ({"channel": "survey", "survey": "csat", "answer": 6}, Reason.INVALID_FIELD, "answer"),
    ({"channel": "survey", "survey": "ces", "answer": 8}, Reason.INVALID_FIELD, "answer"),
    ({"channel": "survey", "survey": "mood", "answer": 1}, Reason.INVALID_FIELD, "survey"),
]
# Bytes that are no JSON, or not of an object.
UNREADABLE = [
    b"",
    b"hello",
    b"\xff\xfe\x00",
    json.dumps(touchpoint()).encode()[:-20],
    json.dumps(touchpoint()).encode() + b"{}",
    json.dumps(touchpoint(text="@")).encode().replace(b"@", b"\\ud800"),
    json.dumps(touchpoint(text="@")).encode().replace(b"@", b"\\udc00"),
    json.dumps(touchpoint(text="@")).encode().replace(b"@", b"\xed\xa0\x80"),
    b"[" * 10_000,
]


def rejected(raw: bytes) -> Rejection:
    found = decode(raw, NOW)
    assert isinstance(found, Rejection), found
    assert found.message
    assert "\n" not in found.message
    return found


@pytest.mark.parametrize(("changes", "reason", "field"), WRONG)
def test_a_wrong_field_is_named_with_its_reason(
    changes: dict[str, Any], reason: Reason, field: str
) -> None:
    found = rejected(json.dumps(touchpoint(**changes)).encode())
    assert (found.reason, found.field) == (reason, field)


@pytest.mark.parametrize("raw", UNREADABLE)
def test_what_cannot_be_read_is_malformed(raw: bytes) -> None:
    found = rejected(raw)
    assert (found.reason, found.field) == (Reason.MALFORMED_JSON, "")


@pytest.mark.parametrize("raw", [b"[]", b"null", b"1", b'"web"'])
def test_json_that_is_no_object_is_invalid(raw: bytes) -> None:
    found = rejected(raw)
    assert (found.reason, found.field) == (Reason.INVALID_FIELD, "")


def test_more_than_64_kib_is_refused_unread() -> None:
    found = rejected(b"x" * (64 * 1024 + 1))
    assert (found.reason, found.field) == (Reason.OVERSIZED, "")


def test_every_reason_is_met_above() -> None:
    assert {reason for _, reason, _ in WRONG} | {Reason.MALFORMED_JSON} == set(Reason)
