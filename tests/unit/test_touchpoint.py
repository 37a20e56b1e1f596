"""The touchpoint contract: what each channel takes, and the wire round trip."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.decode import Rejection, decode
from schemas.stage import STAGES
from schemas.touchpoint import (
    CHANNEL_FIELDS,
    CHANNELS,
    SURVEY_SCALES,
    TOUCHPOINT,
    IdentifierKind,
    Touchpoint,
    json_schema,
)
from tests.wire import NOW, touchpoint

# What the contract promises: the typed fields of each channel, and a value of each.
FIELDS: dict[str, dict[str, Any]] = {
    "web": {"page": "/p/7", "referrer": "/", "product": "P-7", "campaign": "spring"},
    "app": {"page": "/p/7", "referrer": "/", "product": "P-7", "campaign": "spring"},
    "packaging": {"serial": "SN-1", "product": "P-7", "region": "تهران"},
    "call_center": {
        "wait_seconds": 95,
        "talk_seconds": 0,
        "transfers": 2,
        "resolved": False,
        "reason": "late delivery",
    },
    "survey": {"survey": "nps", "answer": 0},
    "store": {"branch": "Tehran 3", "rating": 5},
    "order": {
        "order": "O-1",
        "product": "P-7",
        "amount_minor": -129_900,
        "currency": "IRR",
        "promised_at": "2026-12-01T00:00:00Z",
    },
    "chat": {"direction": "inbound", "resolved": True},
    "outreach": {"rule": "late_delivery", "by": "call_task", "decision": "d1"},
}
TYPES = {
    "web": "page_view search product_view add_to_cart remove_from_cart checkout sign_up sign_in "
    "help_view error rage_click",
    "packaging": "scan authenticity_check register",
    "call_center": "call callback_promised callback_made",
    "survey": "sent answered",
    "store": "visit staff_interaction",
    "order": "placed paid shipped delivered installed returned refunded cancelled",
    "chat": "message closed",
    "outreach": "",
}


def accepted(given: dict[str, Any]) -> Touchpoint:
    found = decode(json.dumps(given, ensure_ascii=False).encode(), NOW)
    assert not isinstance(found, Rejection), found
    return found


def test_the_channels_are_those_of_the_contract() -> None:
    assert set(CHANNELS) == set(FIELDS) == set(CHANNEL_FIELDS)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_takes_its_typed_fields_and_no_others(channel: str) -> None:
    assert set(CHANNEL_FIELDS[channel]) == set(FIELDS[channel])
    found = accepted(touchpoint(channel=channel, **FIELDS[channel]))
    assert json.loads(TOUCHPOINT.dump_json(found, include=set(FIELDS[channel]))) == FIELDS[channel]


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_types_with_meaning_have_a_stage_and_any_other_is_accepted(channel: str) -> None:
    assert set(STAGES[channel]) == set(TYPES["web" if channel == "app" else channel].split())
    for type_ in (*STAGES[channel], "consent_granted", "consent_withdrawn", "a" * 64):
        assert accepted(touchpoint(channel=channel, type=type_, purpose="news")).type == type_


def test_an_example_of_everything_survives_the_wire() -> None:
    given = touchpoint(
        channel="order",
        type="placed",
        identifiers=[{"kind": kind.value, "value": "v"} for kind in IdentifierKind],
        account="Aras Trading",
        text="سفارش من کی می‌رسد؟",
        language="fa",
        properties={"note": "x", "n": 1, "share": 0.5, "gift": True, "none": None},
        purpose="delivery",
        schema_version=1,
        **FIELDS["order"],
    )
    once = accepted(given)
    wire = json.loads(TOUCHPOINT.dump_json(once))
    assert wire == given
    assert accepted(wire) == once


@pytest.mark.parametrize("count", [1, 16])
def test_one_to_sixteen_identifiers(count: int) -> None:
    names = [{"kind": "device", "value": f"d-{n}"} for n in range(count)]
    assert len(accepted(touchpoint(identifiers=names)).identifiers) == count


def test_text_of_8192_characters_and_a_touchpoint_of_64_kib() -> None:
    assert accepted(touchpoint(text="ی" * 8_192)).text == "ی" * 8_192
    given = touchpoint()
    padding = 64 * 1024 - len(json.dumps(given))
    raw = json.dumps(given)[:-1] + " " * padding + "}"
    assert not isinstance(decode(raw.encode(), NOW), Rejection)
    assert isinstance(decode(raw.encode() + b" ", NOW), Rejection)


def test_five_minutes_ahead_is_not_too_far() -> None:
    found = accepted(touchpoint(occurred_at="2026-11-22T12:05:00Z"))
    assert (found.occurred_at - NOW).total_seconds() == 300


@pytest.mark.parametrize(("survey", "scale"), SURVEY_SCALES.items())
def test_every_answer_of_a_scale_is_taken(survey: str, scale: tuple[int, int]) -> None:
    assert {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}[survey] == scale
    for answer in range(scale[0], scale[1] + 1):
        accepted(touchpoint(channel="survey", type="answered", survey=survey, answer=answer))


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    raw = json.dumps(touchpoint())[:-1] + ', "type": "search"}'
    found = decode(raw.encode(), NOW)
    assert not isinstance(found, Rejection)
    assert found.type == "search"


def test_blanks_around_an_identifier_are_no_part_of_it() -> None:
    found = accepted(touchpoint(identifiers=[{"kind": "cookie", "value": " c-1 "}]))
    assert found.identifiers[0].value == "c-1"


def test_the_json_schema_names_every_channel_and_refuses_unknown_fields() -> None:
    schema = json_schema()
    assert set(schema["discriminator"]["mapping"]) == set(CHANNELS)
    for name, definition in schema["$defs"].items():
        if name.endswith("Touchpoint"):
            assert definition["additionalProperties"] is False
            assert {"event_id", "occurred_at", "channel", "type", "identifiers"} == set(
                definition["required"]
            )
