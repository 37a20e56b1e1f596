"""Strangers kept apart and families put right: what a support person would tell of each guard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from schemas.outcome import Action, JourneyStep, Link
from streams.core.explanation import explain
from streams.core.guards import FAN_OUT, Guards
from streams.core.identifiers import normalise
from streams.core.identity import Identities
from tests import oracle
from tests.agents.facts import step
from tests.agents.history import written

SARA, OMID = "customer:SARA", "customer:OMID"


def seen(*names: str, minute: int = 0) -> JourneyStep:
    """A page viewed by someone with these identifiers, written `kind:value`."""
    sent: dict[str, Any] = {
        "event_id": str(UUID(int=minute + 1)),
        "occurred_at": f"2026-05-01T{10 + minute // 60}:{minute % 60:02}:00Z",
        "channel": "web",
        "type": "page_view",
        "identifiers": [
            {"kind": kind, "value": value} for kind, _, value in (n.partition(":") for n in names)
        ],
    }
    return step(sent)


def knowing(*steps: JourneyStep, guards: Guards | None = None) -> Identities:
    identities = Identities(guards) if guards else Identities()
    identities.learn(oracle.links_of(steps))
    return identities


def operator(action: Action, a: str, b: str, minute: int, reason: str) -> Link:
    a, b = sorted((a, b))
    return Link(a, b, str(UUID(int=10_000 + minute)), minute, "zahra", action, reason)


def customers(identities: Identities, names: Iterable[str]) -> list[str]:
    return [identities.customer_of(name) for name in names]


def phone(number: str) -> str:
    return normalise("phone", number, b"key", "IR")


def test_an_anonymous_visitor_signs_in_and_the_past_becomes_hers() -> None:
    identities = knowing(seen("cookie:k"), seen("cookie:k", "device:d", minute=1))
    assert customers(identities, ["cookie:k", "device:d"]) == ["device:d"] * 2
    changed = identities.learn(oracle.links_of([seen("cookie:k", SARA, minute=2)]))
    assert changed == {"cookie:k": SARA, "device:d": SARA}


def test_a_couple_gives_one_phone_number_and_stays_two_customers() -> None:
    home = phone("02188001122")
    identities = knowing(
        seen(OMID, "phone:02188001122", minute=5),
        seen(SARA, "phone:021 8800 1122", minute=2),
        seen(SARA, "cookie:hers", minute=3),
        seen(OMID, "cookie:his", minute=4),
    )
    # It was Sara's first, whichever came in first.
    assert identities.customer_of(home) == SARA
    assert customers(identities, ["cookie:hers", "cookie:his"]) == [SARA, OMID]
    (conflict,) = identities.conflicts()
    assert {conflict.customer_a, conflict.customer_b} == {SARA, OMID}
    assert (conflict.link.a, conflict.link.b, conflict.link.occurred_ms) == (
        OMID,
        home,
        seen("cookie:x", minute=5).occurred_ms,
    )
    assert explain(identities, OMID).conflicts == [conflict]


def test_a_form_that_writes_null_into_every_field_glues_nobody() -> None:
    rows = [
        seen(SARA, "email:null", "phone:0000000000", minute=1),
        seen(OMID, "email:null", "phone:0000000000", minute=2),
        seen("cookie:null", "email:test@shop.ir", minute=3),
        seen("cookie:null", "email:noreply@shop.ir", minute=4),
    ]
    identities = knowing(*rows)
    assert (identities.members(SARA), identities.members(OMID)) == ([SARA], [OMID])
    assert len({row.anchor for row in rows}) == 4


def test_the_call_centres_own_number_is_found_out_late() -> None:
    ours = phone("02191000000")
    rows = [seen(f"email:guest{n}@x.ir", "phone:02191000000", minute=n) for n in range(5)]
    glued = knowing(*rows)
    assert len(set(customers(glued, (row.anchor for row in rows)))) == 1
    apart = knowing(*rows, guards=Guards(denied=frozenset({ours})))
    assert customers(apart, (row.anchor for row in rows)) == [row.anchor for row in rows]


def test_a_shop_tablet_joins_its_visitors_until_there_are_too_many_to_believe() -> None:
    cap = FAN_OUT["device"]
    rows = [seen("device:tablet", f"order:O{n}", minute=n) for n in range(cap + 1)]
    identities = knowing(*rows[:cap])
    assert identities.customer_of("device:tablet") == "order:O0"
    assert len(identities.members("device:tablet")) == cap + 1
    changed = identities.learn(oracle.links_of(rows[cap:]))
    assert changed["order:O7"] == "order:O7"
    assert identities.members("device:tablet") == ["device:tablet"]
    why = explain(identities, "device:tablet").not_bridging
    assert why == {"device:tablet": f"seen with {cap + 1} identifiers, too many for one person"}


def test_a_family_tablet_stops_telling_once_a_second_member_signs_in() -> None:
    rows = [
        seen("device:tablet", "cookie:k"),
        seen("device:tablet", SARA, minute=1),
        seen("device:tablet", OMID, minute=2),
    ]
    identities = knowing(*rows[:2])
    assert customers(identities, ["device:tablet", "cookie:k"]) == [SARA, SARA]
    changed = identities.learn(oracle.links_of(rows[2:]))
    assert changed == {"device:tablet": "device:tablet", "cookie:k": "cookie:k"}
    assert identities.conflicts() == []
    assert explain(identities, SARA).not_bridging == {"device:tablet": f"shared by {OMID}, {SARA}"}


def test_a_washing_machine_sold_on_belongs_to_neither_and_an_order_to_who_placed_it() -> None:
    identities = knowing(
        seen(SARA, "serial:W1", "order:O1", minute=1), seen(OMID, "serial:W1", "order:O1", minute=9)
    )
    assert customers(identities, ["serial:W1", "order:O1"]) == ["serial:W1", SARA]
    assert [(c.link.a, c.link.b) for c in identities.conflicts()] == [(OMID, "order:O1")]


def test_an_operator_who_sees_that_sara_has_two_accounts_joins_them_and_can_take_it_back() -> None:
    rows = [
        seen(SARA, "device:d", minute=1),
        seen("customer:SARA2", "device:d", minute=2),
        seen("customer:SARA2", "cookie:k", minute=3),
    ]
    identities = knowing(*rows)
    before = oracle.identities(oracle.links_of(rows)).customers
    names = [SARA, "customer:SARA2", "device:d", "cookie:k"]
    assert customers(identities, names) == [SARA, "customer:SARA2", "device:d", "customer:SARA2"]

    identities.learn([operator(Action.JOIN, SARA, "customer:SARA2", 10, "called, one person")])
    assert customers(identities, names) == [SARA] * 4  # the device is no stranger's any more

    changed = identities.learn(
        [operator(Action.WITHDRAW, SARA, "customer:SARA2", 20, "mother and daughter")]
    )
    assert customers(identities, names) == [before[name] for name in names]
    assert set(changed) == {"customer:SARA2", "device:d", "cookie:k"}
    assert [entry.reason for entry in explain(identities, SARA).withdrawn] == [
        "mother and daughter"
    ]


def test_a_mistyped_number_is_withdrawn_and_both_get_their_own_state_back() -> None:
    steps = [
        seen("email:sara@x.ir", minute=1),
        seen("email:omid@x.ir", "cookie:his", minute=2),
        seen("email:sara@x.ir", "phone:09121112233", minute=3),
        seen("email:omid@x.ir", "phone:09121112233", minute=4),
    ]
    sara, omid = steps[0].anchor, steps[1].anchor
    links = oracle.links_of(steps)
    withdrawn = operator(Action.WITHDRAW, omid, phone("09121112233"), 9, "agent mistyped")
    identities = Identities()
    identities.learn(links)
    assert identities.customer_of(omid) == identities.customer_of(sara)
    identities.learn([withdrawn])
    now = {name: identities.customer_of(name) for name in (sara, omid, "cookie:his")}
    assert now == {sara: sara, omid: omid, "cookie:his": omid}
    parts = oracle.states(steps, now)
    assert written(parts[sara]) == written(oracle.states([steps[0], steps[2]], {})[sara])
    assert written(parts[omid]) == written(oracle.states([steps[1], steps[3]], {})[omid])
    # And it was not a mistake after all.
    identities.learn([operator(Action.JOIN, omid, phone("09121112233"), 12, "shared, one person")])
    assert identities.customer_of(omid) == identities.customer_of(sara)


def test_an_operator_settles_who_a_disputed_phone_belongs_to() -> None:
    rows = [seen(SARA, "phone:09121112233"), seen(OMID, "phone:09121112233", minute=1)]
    identities = knowing(*rows)
    mobile = phone("09121112233")
    assert identities.customer_of(mobile) == SARA
    identities.learn([operator(Action.JOIN, OMID, mobile, 5, "he says it is his")])
    assert identities.customer_of(mobile) == OMID
    assert [(c.link.a, c.link.b) for c in identities.conflicts()] == [(SARA, mobile)]
    identities.learn([operator(Action.WITHDRAW, SARA, mobile, 6, "confirmed by her")])
    assert identities.conflicts() == []


def test_only_accounts_themselves_can_be_joined_to_one_another() -> None:
    identities = knowing(seen(SARA, "cookie:k"), seen(OMID, "email:omid@x.ir", minute=1))
    mail = seen("email:omid@x.ir").anchor
    identities.learn([operator(Action.JOIN, "cookie:k", mail, 5, "same browser")])
    # The operator's word comes first, so the cookie goes with the mail; Sara and Omid stay two.
    assert identities.customer_of(SARA) != identities.customer_of(OMID)
    assert len(identities.conflicts()) == 1
