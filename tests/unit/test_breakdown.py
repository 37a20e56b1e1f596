"""Counts by product, region, campaign and channel: what is counted, and that they stay few."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from schemas.outcome import JourneyStep
from schemas.touchpoint import CHANNELS
from streams.core.breakdown import (
    ADMITTED_AFTER,
    BREAKDOWNS,
    IDLE_MS,
    LATE_MS,
    OTHER,
    Breakdowns,
    values_of,
)
from streams.core.signals import is_distressing, is_help
from streams.metrics import BreakdownCounters
from tests.agents.facts import step
from tests.wire import touchpoint

AT_MS = 1_790_000_000_000


def seen(at_ms: int = AT_MS, late_ms: int = 0, **changes: object) -> JourneyStep:
    given = {"occurred_ms": at_ms - late_ms, "received_ms": at_ms, **changes}
    return msgspec.structs.replace(step(touchpoint()), **given)


def counts(found: Breakdowns, breakdown: str) -> dict[tuple[str, ...], tuple[int, int]]:
    return {
        tuple(filter(None, c.values)): (c.touchpoints, c.distressing)
        for c in found
        if c.breakdown == breakdown
    }


BAD = {"channel": "packaging", "type": "complaint"}
SAD = {"channel": "chat", "scorer": "1", "distress": 300}


@pytest.mark.parametrize(
    ("changes", "distressing"),
    [
        ({"channel": "web", "type": "page_view"}, False),
        ({"channel": "web", "type": "rage_click"}, True),
        ({"channel": "store", "type": "rage_click"}, False),
        ({"channel": "store", "type": "complaint"}, True),
        ({"channel": "order", "type": "delivery_failed"}, True),
        ({"channel": "order", "type": "cancelled"}, False),
        ({"channel": "chat", "scorer": "1", "sentiment": -250}, True),
        ({"channel": "chat", "scorer": "1", "sentiment": -249, "distress": 299}, False),
        (SAD, True),
        ({**SAD, "fields": {"direction": "outbound"}}, False),
        ({**SAD, "fields": {"direction": "inbound"}}, True),
        ({"channel": "survey", "fields": {"survey": "nps", "answer": "6"}}, True),
        ({"channel": "survey", "fields": {"survey": "nps", "answer": "7"}}, False),
        ({"channel": "survey", "fields": {"survey": "csat", "answer": "2"}}, True),
        ({"channel": "survey", "fields": {"survey": "csat", "answer": "3"}}, False),
        ({"channel": "survey", "fields": {"survey": "ces", "answer": "3"}}, True),
        ({"channel": "survey", "fields": {"answer": "1"}}, False),
        ({"channel": "store", "fields": {"rating": "2"}}, True),
        ({"channel": "store", "fields": {"rating": "3"}}, False),
        ({"channel": "call_center", "type": "call", "fields": {"resolved": "false"}}, True),
        ({"channel": "call_center", "type": "call", "fields": {"resolved": "true"}}, False),
    ],
)
def test_what_tells_of_trouble(changes: dict[str, object], distressing: bool) -> None:
    assert is_distressing(seen(**{"type": "message", **changes})) is distressing


def test_what_helps() -> None:
    assert is_help(seen(channel="chat", type="closed", fields={"resolved": "true"}))
    assert is_help(seen(channel="call_center", type="callback_made"))
    assert not is_help(seen(channel="call_center", type="callback_promised"))


def test_values_come_from_fields_and_else_from_properties() -> None:
    one = seen(
        channel="web",
        fields={"product": "P-1"},
        properties='{"product":"P-2","region":"تهران","campaign":7}',
    )
    assert values_of(one) == ("web", "P-1", "تهران", "")


def test_a_touchpoint_counts_in_every_breakdown_that_it_has_the_values_of() -> None:
    found = Breakdowns()
    both = {"product": "P-1", "region": "north"}
    found.count([seen(**BAD, fields=both)] * 9 + [seen(**BAD, fields={"product": "P-1"})])
    assert counts(found, "channel")["packaging",] == (10, 10)
    shared = (ADMITTED_AFTER, ADMITTED_AFTER)
    assert counts(found, "product") == {(OTHER,): shared, ("P-1",): (5, 5)}
    assert counts(found, "product_region") == {(OTHER,) * 2: shared, ("P-1", "north"): (4, 4)}
    assert counts(found, "campaign") == {}


def test_channels_stand_at_nought_before_they_come() -> None:
    assert counts(Breakdowns(), "channel") == {(channel,): (0, 0) for channel in CHANNELS}


def test_history_is_not_counted() -> None:
    found = Breakdowns()
    found.count([seen(**BAD, late_ms=LATE_MS), seen(**BAD, late_ms=LATE_MS + 1)])
    assert counts(found, "channel")["packaging",] == (1, 1)


def test_values_that_come_once_share_other_however_many() -> None:
    found = Breakdowns()
    most = BREAKDOWNS["product"][1]
    found.count(seen(fields={"product": f"P-{n}"}) for n in range(20 * most))
    assert counts(found, "product") == {(OTHER,): (20 * most, 0)}


def test_there_are_never_more_than_so_many_and_a_count_never_falls() -> None:
    found = Breakdowns()
    most = BREAKDOWNS["product"][1]
    often = [seen(fields={"product": f"P-{n}"}) for n in range(2 * most) for _ in range(9)]
    found.count(often)
    first = counts(found, "product")
    assert len(first) == most + 1
    assert sum(n for n, _ in first.values()) == len(often)
    found.count(often)
    again = counts(found, "product")
    assert all(again[value] >= count for value, count in first.items())
    assert sum(n for n, _ in again.values()) == 2 * len(often)


def test_a_value_gives_way_once_it_is_idle() -> None:
    found = Breakdowns()
    most = BREAKDOWNS["product"][1]
    found.count(seen(fields={"product": f"P-{n}"}) for n in range(most) for _ in range(6))
    late = [seen(AT_MS + IDLE_MS - 1, fields={"product": "new"})] * 6
    found.count(late)
    assert ("new",) not in counts(found, "product")
    found.count([seen(AT_MS + IDLE_MS, fields={"product": "new"})] * 6)
    assert counts(found, "product")["new",] == (1, 0)
    assert len(counts(found, "product")) == most + 1


def test_prometheus_reads_them_with_the_labels_of_their_breakdown() -> None:
    counters = BreakdownCounters()
    registry = CollectorRegistry()
    registry.register(counters)
    counters.count([seen(**BAD, fields={"product": "P-1", "region": "r"})] * 6)
    page = generate_latest(registry).decode()
    labels = 'breakdown="product_region",campaign="",channel="",product="P-1",region="r"'
    assert f"journey_breakdown_touchpoints_total{{{labels}}} 1.0" in page
    assert f"journey_breakdown_distressing_total{{{labels}}} 1.0" in page
