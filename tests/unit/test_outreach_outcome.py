"""Outcomes: in any order the last holds, and what reached a customer is a touchpoint."""

from __future__ import annotations

import json
from itertools import permutations

import msgspec
import pytest

from schemas.decode import Rejection, decode
from schemas.outcome import UNFINISHED, OutreachOutcome, Status
from schemas.state import Part
from sinks.dispatch.journal import Known, id_of, touchpoint_of
from streams.core.journey import apply
from tests.agents.facts import step
from tests.wire import NOW

AT = int(NOW.timestamp() * 1000) - 30 * 86_400_000


def outcome(status: Status, attempts: int, customer: str = "phone:h-1") -> OutreachOutcome:
    return OutreachOutcome("d1", customer, "late", "call_task", status, AT, attempts)


def test_of_an_outcomes_records_in_any_order_the_last_holds() -> None:
    way = [
        outcome(Status.SENDING, 1),
        outcome(Status.WAITING, 1),
        outcome(Status.SENDING, 2),
        outcome(Status.SENT, 2),
    ]
    for order in permutations(way):
        known = Known()
        for one in order:
            known.take(one)
        assert (known.done, known.begun) == ({"d1"}, {})
        assert max(order, key=lambda one: one.version).status is Status.SENT
    for order in permutations(way[:3]):
        known = Known()
        for one in order:
            known.take(one)
        assert known.begun["d1"] is way[2]
    assert known.forget("d1")
    assert not known.forget("d1")


@pytest.mark.parametrize("status", set(Status) - UNFINISHED)
def test_whatever_is_final_wins_over_a_later_attempt_of_a_zombie(status: Status) -> None:
    assert outcome(status, 0).version > outcome(Status.SENDING, 1_000).version


def test_the_key_names_the_decision() -> None:
    assert id_of(outcome(Status.SENT, 1).key().encode()) == "d1"


def test_the_touchpoint_is_accepted_is_the_same_again_and_is_no_visit() -> None:
    sent = touchpoint_of(outcome(Status.SENT, 1))
    assert sent is not None
    accepted = decode(sent, NOW)
    assert not isinstance(accepted, Rejection), accepted
    told = json.loads(sent)
    assert (told["channel"], told["type"], told["by"]) == ("outreach", "sent", "call_task")
    assert told["identifiers"] == [{"kind": "phone", "value": "h-1"}]
    later = msgspec.structs.replace(outcome(Status.SENT, 2), at_ms=AT + 5)
    again = touchpoint_of(later)
    assert again is not None
    assert json.loads(again)["event_id"] == told["event_id"]
    part, before = Part(), Part()
    visit = step({"event_id": "00000000-0000-0000-0000-000000000001", "channel": "web",
                  "type": "page_view", "occurred_at": "2026-10-01T00:00:00Z",
                  "identifiers": told["identifiers"]})  # fmt: skip
    apply(before, visit)
    apply(part, visit)
    apply(part, step(told))
    assert (part.n, part.visits, part.last_visit_ms) == (2, before.visits, before.last_visit_ms)
    assert (part.contacts, part.troubles, part.latest) == (
        before.contacts,
        before.troubles,
        before.latest,
    )


def test_who_has_no_name_has_no_touchpoint() -> None:
    assert touchpoint_of(outcome(Status.SENT, 1, "event:0-0")) is None
