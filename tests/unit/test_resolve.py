"""One touchpoint resolved: where it is kept, what it links, whether it counts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from schemas.outcome import JourneyStep, Link
from schemas.state import AnchorState
from streams.core.resolve import MAX_LINKED, count, links_of
from tests.agents.facts import step


def visit(number: int, *names: tuple[str, str], minute: int = 0) -> JourneyStep:
    sent: dict[str, Any] = {
        "event_id": str(UUID(int=number)),
        "occurred_at": f"2026-05-01T10:{minute:02}:00Z",
        "channel": "web",
        "type": "page_view",
        "identifiers": [{"kind": kind, "value": value} for kind, value in names],
    }
    return step(sent)


def test_links_join_the_anchor_with_each_other_identifier() -> None:
    row = visit(1, ("cookie", "k"), ("customer", "A"), ("device", "d"))
    links = links_of(AnchorState(), row)
    assert [(link.a, link.b) for link in links] == [
        ("cookie:k", "customer:A"),
        ("customer:A", "device:d"),
    ]
    assert {(link.event_id, link.source) for link in links} == {(row.event_id, "web")}


def test_a_link_is_announced_again_only_with_earlier_evidence() -> None:
    state = AnchorState()
    names = ("customer", "A"), ("cookie", "k")
    assert len(links_of(state, visit(2, *names, minute=5))) == 1
    assert links_of(state, visit(3, *names, minute=9)) == []
    earlier = links_of(state, visit(1, *names, minute=1))
    assert [link.event_id for link in earlier] == [str(UUID(int=1))]


def test_denied_values_link_nothing_and_strangers_stay_apart() -> None:
    known = visit(1, ("cookie", "null"), ("device", "d"))
    assert (known.anchor, links_of(AnchorState(), known)) == ("device:d", [])
    nobody = [visit(n, ("cookie", "null"), ("email", "test@x.ir")) for n in (1, 2)]
    assert [row.anchor for row in nobody] == [f"event:{UUID(int=n)}" for n in (1, 2)]
    assert [links_of(AnchorState(), row) for row in nobody] == [[], []]


def test_what_an_anchor_remembers_of_its_links_is_bounded() -> None:
    state = AnchorState()
    for number in range(MAX_LINKED + 5):
        links_of(state, visit(number + 1, ("customer", "A"), ("cookie", f"k{number}")))
    assert len(state.linked) == MAX_LINKED
    assert "cookie:k0" not in state.linked


def test_event_ids_that_count_up_are_told_apart() -> None:
    state = AnchorState()
    counted = [count(state, visit(n, ("cookie", "k")), offset=n) for n in range(1, 300)]
    assert all(counted)
    assert not count(state, visit(7, ("cookie", "k")), offset=300)
    assert state.part.n == 299


def test_an_offset_read_again_counts_once() -> None:
    state = AnchorState()
    assert count(state, visit(1, ("cookie", "k")), offset=4)
    assert not count(state, visit(2, ("cookie", "k")), offset=4)
    assert not count(state, visit(3, ("cookie", "k")), offset=3)
    assert state.part.n == 1


def test_a_link_on_the_wire_is_what_it_was_before_operators_had_a_say() -> None:
    seen = Link("cookie:k", "customer:A", "e", 1, "web")
    assert msgspec.json.decode(msgspec.json.encode(seen)) == {
        "a": "cookie:k",
        "b": "customer:A",
        "event_id": "e",
        "occurred_ms": 1,
        "source": "web",
    }
