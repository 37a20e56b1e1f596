import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.publisher import prepare
from schemas.decode import Rejection, decode
from streams.core.identifiers import anchor_of, normalise

KEY = b"test key"


def touchpoint(*identifiers: object) -> dict[str, Any]:
    return {"channel": "web", "type": "page_view", "identifiers": list(identifiers)}


def test_hashes_emails_and_phones_and_keeps_the_rest() -> None:
    anchor, wire = prepare(
        touchpoint(
            {"kind": "email", "value": "Ali@Example.com "},
            {"kind": "phone", "value": "۰۹۷۰ ۱۲۳ ۴۵۶۷"},
            {"kind": "order", "value": "ord-7"},
            {"kind": "cookie", "value": "c1"},
        ),
        KEY,
        "IR",
    )
    email, phone, order, cookie = json.loads(wire)["identifiers"]
    assert anchor == "email:" + email["value"]
    assert email["value"].startswith("h-")
    assert phone["value"].startswith("h-")
    assert (order, cookie) == (
        {"kind": "order", "value": "ORD-7"},
        {"kind": "cookie", "value": "c1"},
    )
    assert b"xample" not in wire
    assert b"4567" not in wire


def test_spellings_of_one_phone_are_one_anchor() -> None:
    anchors = {
        prepare(touchpoint({"kind": "phone", "value": spelling}), KEY, "IR")[0]
        for spelling in ("09701234567", "۰۹۷۰۱۲۳۴۵۶۷", "+98 970 1234567", "0098 970 123 4567")
    }
    assert len(anchors) == 1


def test_is_idempotent_and_leaves_its_argument_alone() -> None:
    given_ = touchpoint({"kind": "email", "value": "a@b.example"})
    before = json.dumps(given_)
    anchor, wire = prepare(given_, KEY, "IR")
    assert json.dumps(given_) == before
    assert prepare(json.loads(wire), KEY, "IR") == (anchor, wire)


def test_leaves_what_is_ill_formed_for_the_contract_to_reject() -> None:
    odd = ["text", {"kind": "email", "value": " "}, {"kind": ["x"], "value": "v"}, {"value": 3}]
    anchor, wire = prepare(touchpoint(*odd), KEY, "IR")
    assert anchor == ""
    assert json.loads(wire)["identifiers"] == odd
    assert prepare({"channel": "web"}, KEY, "IR") == ("", b'{"channel":"web"}')


def test_hashes_an_email_even_beside_an_unknown_key() -> None:
    _, wire = prepare(touchpoint({"kind": "email", "value": "a@b.example", "note": 1}), KEY, "IR")
    assert b"b.example" not in wire
    assert json.loads(wire)["identifiers"][0]["note"] == 1


def test_fillers_and_our_own_addresses_are_denied_and_do_not_anchor() -> None:
    ours = normalise("email", "shop@example.com", KEY, "IR")
    given_ = touchpoint(
        {"kind": "customer", "value": "null"},
        {"kind": "email", "value": "Shop@example.com"},
        {"kind": "cookie", "value": "c1"},
    )
    anchor, wire = prepare(given_, KEY, "IR", frozenset({ours}))
    assert anchor == "cookie:c1"
    assert [i["value"] for i in json.loads(wire)["identifiers"]] == ["denied", "denied", "c1"]


@pytest.mark.parametrize(
    "spelling",
    ["80ec997f-0a76-4be8-ab62-6d1a136fd055", "80EC997F0A764BE8AB626D1A136FD055"],
)
def test_a_touchpoint_of_nobody_is_anchored_as_the_workers_do(spelling: str) -> None:
    given_ = {
        **touchpoint({"kind": "customer", "value": "null"}),
        "event_id": spelling,
        "occurred_at": "2026-11-20T00:00:00Z",
    }
    anchor, wire = prepare(given_, KEY, "IR")
    decoded = decode(wire, datetime(2026, 11, 22, tzinfo=UTC))
    assert not isinstance(decoded, Rejection)
    assert anchor == anchor_of(["customer:denied"], str(decoded.event_id))


@settings(max_examples=50)
@given(
    st.dictionaries(st.text(), st.recursive(st.none() | st.integers(0, 9) | st.text(), st.lists))
)
def test_takes_any_json_object(record: dict[str, Any]) -> None:
    anchor, wire = prepare(record, KEY, "IR")
    assert anchor == ""
    assert json.loads(wire) == record
