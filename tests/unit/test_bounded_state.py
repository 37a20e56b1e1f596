"""A part is bounded whatever is told, and still does not depend on the order of touchpoints."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from schemas.outcome import CustomerHealth, JourneyStep
from schemas.state import AnchorState, Part
from streams.core.journey import (
    DAY_MS,
    MAX_CELLS,
    MAX_CURRENCIES,
    MAX_PROMISES,
    MAX_PURPOSES,
    CustomerState,
    apply,
    bounds_met,
    unite,
)
from streams.core.policy import Policy
from streams.core.resolve import count, links_of, update_of
from streams.core.rules import consent
from streams.core.stitch import evaluate
from streams.delivery import MAX_BATCH
from tests.agents.history import written

TODAY = 20_600
NOW_MS = TODAY * DAY_MS


def row(number: int, day: int, kind: tuple[str, str], **told: Any) -> JourneyStep:
    base: dict[str, Any] = dict.fromkeys(("stage", "account", "text", "language", "scorer"), "")
    base |= {"sentiment": 0, "distress": 0, "fields": {}, "amount_minor": 0, "currency": ""}
    return JourneyStep(
        event_id=str(UUID(int=number)),
        occurred_ms=day * DAY_MS + number % DAY_MS,
        anchor="customer:hostile",
        channel=kind[0],
        type=kind[1],
        identifiers=["customer:hostile"],
        properties="{}",
        received_ms=0,
        **base | told,
    )


def hostile(touchpoints: int, years: int = 20) -> Iterator[JourneyStep]:
    """Every measure on every day, orders and currencies without number, purposes, long names."""
    chance = Random(7)
    text = {"text": "x", "scorer": "1", "language": "fa", "sentiment": -300, "distress": 900}
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for n in range(1, touchpoints + 1):
        day = TODAY - chance.randrange(365 * years)
        money = {"amount_minor": 10**15, "currency": "".join(chance.choices(letters, k=3))}
        order = {"order": f"{n:05}" + "ش" * (n % 3 * 80), "promised_at": str(NOW_MS)}
        match n % 6:
            case 0:
                yield row(n, day, ("chat", "message"), fields={"direction": "inbound"}, **text)
            case 1:
                yield row(n, day, ("order", "placed"), fields=order, **money)
            case 2:
                yield row(n, day, ("order", "refunded"), fields=order, **money)
            case 3:
                told = {
                    "wait_seconds": "9",
                    "transfers": "1",
                    "resolved": chance.choice(["true", "false"]),
                }
                yield row(n, day, ("call_center", "call"), fields=told, **text)
            case 4:
                told = {"survey": "nps", "answer": "0"}
                yield row(n, day, ("survey", "answered"), fields=told, **text)
            case _:
                told = {"purpose": chance.choice(["outreach", f"p{n}" + "ق" * 200])}
                yield row(n, day, ("web", "consent_withdrawn"), fields=told)


def part_of(steps: list[JourneyStep]) -> Part:
    part = Part()
    for each in steps:
        apply(part, each)
    return part


def test_a_hostile_anchor_fits_a_message_at_every_moment() -> None:
    state, largest = AnchorState(), 0
    for offset, step in enumerate(hostile(50_000)):
        count(state, step, offset)
        seen = msgspec.structs.replace(
            step, identifiers=["customer:hostile", f"cookie:{offset}" + "ج" * 240]
        )
        links_of(state, seen)
        if offset % 500 == 0 or offset in (5_000, 49_999):
            largest = max(largest, len(msgspec.json.encode(state)))
            largest = max(
                largest, len(msgspec.json.encode(update_of("customer:hostile", state, 0)))
            )
    assert bounds_met(state.part) == {"days", "promises"}
    assert largest < MAX_BATCH * 0.95
    assert state.part.n == 50_000


def test_what_is_folded_and_forgotten_does_not_depend_on_the_order() -> None:
    steps = list(hostile(5_000))
    expected = written(part_of(steps))
    assert part_of(steps).folded
    for seed in range(2):
        Random(seed).shuffle(steps)
        assert written(part_of(steps)) == expected
    steps.sort(key=lambda step: step.occurred_ms)
    assert written(part_of(steps)) == expected
    steps.reverse()
    assert written(part_of(steps)) == expected


def test_folding_keeps_every_sum_and_the_newest_days() -> None:
    steps = list(hostile(5_000))
    part = part_of(steps)
    chats = [s.occurred_ms // DAY_MS for s in steps if s.channel == "chat"]
    assert sum(s.get("messages", 0) for s in part.troubles.values()) == len(chats)
    newest = max(chats)
    assert part.troubles[newest]["messages"] == chats.count(newest)
    assert len(part.days) < 300
    calls = [s for s in steps if s.channel == "call_center"]
    last = max(calls, key=lambda s: s.occurred_ms)
    assert part.contacts[max(part.contacts)] & 1 == (last.fields["resolved"] == "false")
    health, _, _ = evaluate("c", _customer(part), {}, NOW_MS, Policy())
    assert 0 <= health.health <= 100


def test_a_customer_of_many_years_is_kept_day_by_day() -> None:
    order = {"amount_minor": 5, "currency": "IRR"}
    steps = [row(n, TODAY - n, ("order", "placed"), **order) for n in range(2_000)]
    part = part_of(steps)
    assert not part.folded
    assert len(part.days) == 2_000


def test_the_newest_orders_a_few_currencies_and_the_purposes_of_outreach_are_kept() -> None:
    orders = [
        row(n, TODAY, ("order", "placed"), fields={"order": f"O-{n}", "promised_at": "1"})
        for n in range(MAX_PROMISES + 500)
    ]
    part = part_of(orders)
    assert len(part.promises) == MAX_PROMISES
    assert f"O-{MAX_PROMISES + 499}" in part.promises
    assert "O-499" not in part.promises
    monies = [
        row(n, TODAY, ("order", "placed"), amount_minor=1, currency=currency)
        for n, currency in enumerate(("USD", "EUR", "IRR", "AED", "TRY", "USD"))
    ]
    kept = {m[6:] for m in part_of(monies).days[TODAY] if ":" in m}
    assert kept == {"AED", "EUR"}
    assert len(kept) == MAX_CURRENCIES
    purposes = ["outreach", "outreach:email", *(f"p{n}" for n in range(200))]
    told = [
        row(n, TODAY, ("web", "consent_withdrawn"), fields={"purpose": purpose})
        for n, purpose in enumerate(purposes)
    ]
    part = part_of(told)
    assert consent(part, "email") == "withdrawn"
    assert len(part.latest) <= MAX_PURPOSES + 1


def test_uniting_bounded_parts_is_a_sum_all_the_same() -> None:
    steps = list(hostile(6_000))
    parts = [part_of(steps[:3_000]), part_of(steps[3_000:])]
    assert written(unite(parts)) == written(unite(parts[::-1]))


def test_sums_beyond_a_column_are_stored_as_its_limit() -> None:
    rich = {"amount_minor": 10**15, "currency": "IRR"}
    part = part_of([row(n, TODAY - 1, ("order", "placed"), **rich) for n in range(10_000)])
    health, _, _ = evaluate("c", _customer(part), {}, NOW_MS, Policy())
    assert health.spend == {"IRR": 2**63 - 1}
    assert msgspec.json.decode(msgspec.json.encode(health), type=CustomerHealth) == health


@pytest.mark.parametrize("extra", [0, 1])
def test_the_bound_is_where_it_says(extra: int) -> None:
    part = Part()
    # A visit and a text: four cells of a day.
    for n in range(MAX_CELLS // 4 + extra):
        text = {"text": "x", "scorer": "1", "language": "fa", "sentiment": -300, "distress": 900}
        apply(part, row(n, TODAY - n, ("chat", "message"), **text))
    assert part.folded == bool(extra)


def _customer(part: Part) -> CustomerState:
    state = CustomerState()
    state.take(update_of("customer:hostile", AnchorState(part=part), 0))
    return state
