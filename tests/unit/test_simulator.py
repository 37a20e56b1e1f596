import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from statistics import mean
from typing import Any

import pytest

from producers.publisher import prepare
from producers.simulator import Simulated, simulate
from producers.simulator.faults import FAULTS, malformed
from producers.simulator.texts_en import TEXTS as TEXTS_EN
from producers.simulator.texts_fa import TEXTS as TEXTS_FA
from schemas.decode import Rejection, decode
from schemas.touchpoint import CHANNELS
from streams.core.identifiers import normalise

UNTIL = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOTAL = 20_000


@pytest.fixture(scope="module")
def records() -> list[Simulated]:
    return list(simulate(TOTAL, 800, seed=3, until=UNTIL))


@pytest.fixture(scope="module")
def valid(records: list[Simulated]) -> list[dict[str, Any]]:
    return [r.touchpoint for r in records if r.kind == "valid" and r.touchpoint is not None]


def when(touchpoint: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(touchpoint["occurred_at"])


def names(touchpoint: dict[str, Any], kind: str) -> list[str]:
    return [i["value"] for i in touchpoint["identifiers"] if i["kind"] == kind]


@pytest.mark.parametrize(("touchpoints", "customers"), [(1, 1), (7, 50), (999, 3), (2_000, 900)])
def test_emits_exactly_as_many_as_asked(touchpoints: int, customers: int) -> None:
    assert len(list(simulate(touchpoints, customers, 1, UNTIL))) == touchpoints


def test_same_seed_same_stream_other_seed_another() -> None:
    first, again, other = (list(simulate(500, 40, seed, UNTIL)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_counts_of_each_kind(records: list[Simulated]) -> None:
    counts = Counter(record.kind for record in records)
    assert counts == {"valid": 19_780, "duplicate": 200, "malformed": 20}


def test_duplicates_repeat_an_earlier_record_to_the_byte(records: list[Simulated]) -> None:
    seen: dict[str, bytes] = {}
    for record in records:
        if record.touchpoint is None:
            continue
        wire = prepare(record.touchpoint, b"k", "IR")[1]
        event_id = record.touchpoint["event_id"]
        if record.kind == "duplicate":
            assert seen[event_id] == wire
        else:
            assert event_id not in seen
            seen[event_id] = wire


def test_the_contract_takes_all_but_the_malformed(records: list[Simulated]) -> None:
    for record in records:
        if record.touchpoint is None:
            assert record.raw is not None
            assert isinstance(decode(record.raw, UNTIL), Rejection)
        else:
            wire = prepare(record.touchpoint, b"k", "IR")[1]
            verdict = decode(wire, UNTIL)
            assert not isinstance(verdict, Rejection), (verdict, wire)


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_each_fault_is_rejected(fault: int, valid: list[dict[str, Any]]) -> None:
    assert not isinstance(decode(json.dumps(valid[0]).encode(), UNTIL), Rejection)
    assert isinstance(decode(FAULTS[fault](valid[0]), UNTIL), Rejection)


def test_the_malformed_carry_no_raw_personal_data() -> None:
    given = {"identifiers": [{"kind": "email", "value": "customer1@example.org"}], "channel": "web"}
    assert all(b"example.org" not in malformed(given, Random(n)) for n in range(50))


def test_times_arrive_in_rough_order_up_to_until(valid: list[dict[str, Any]]) -> None:
    times = [when(touchpoint) for touchpoint in valid]
    assert max(times) <= UNTIL
    assert min(times) > UNTIL - timedelta(days=92)
    newest, late = times[0], 0
    for time in times:
        late += time < newest - timedelta(hours=1)
        newest = max(newest, time)
    assert 0.03 < late / len(times) < 0.06
    recent = sum(time > UNTIL - timedelta(days=7) for time in times) / 7
    before = sum(timedelta(days=7) < UNTIL - time < timedelta(days=28) for time in times) / 21
    assert 0.5 < recent / before < 2


def test_people_sleep(valid: list[dict[str, Any]]) -> None:
    hours = Counter(when(touchpoint).hour for touchpoint in valid)
    assert sum(hours[h] for h in (2, 3, 4, 5)) * 4 < sum(hours[h] for h in (18, 19, 20, 21))


def test_every_channel_and_both_languages(valid: list[dict[str, Any]]) -> None:
    assert {touchpoint["channel"] for touchpoint in valid} == set(CHANNELS) - {"outreach"}
    persian = [any("؀" <= sign <= "ۿ" for sign in t["text"]) for t in valid if "text" in t]
    assert 0.5 < mean(persian) < 0.7


def test_the_anonymous_become_known(valid: list[dict[str, Any]]) -> None:
    anonymous = {c for t in valid if len(t["identifiers"]) == 1 for c in names(t, "cookie")}
    linked = {c for t in valid if names(t, "customer") for c in names(t, "cookie")}
    assert len(anonymous & linked) > 100
    assert len(anonymous - linked) > 30


def test_phones_are_spelled_variously_but_are_one() -> None:
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for record in simulate(4_000, 60, 2, UNTIL):
        if record.touchpoint is not None:
            for phone in names(record.touchpoint, "phone"):
                spellings[normalise("phone", phone, b"k", "IR")].add(phone)
    assert max(len(variants) for variants in spellings.values()) >= 2
    assert len(spellings) <= 60


def test_accounts_have_several_contacts(valid: list[dict[str, Any]]) -> None:
    contacts: defaultdict[str, set[str]] = defaultdict(set)
    for touchpoint in valid:
        if "account" in touchpoint:
            contacts[touchpoint["account"]].update(names(touchpoint, "customer"))
    assert len(contacts) == 20
    assert max(map(len, contacts.values())) > 1


def test_some_households_share_a_device() -> None:
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for record in simulate(20_000, 200, 4, UNTIL):
        if record.touchpoint is not None:
            for device in names(record.touchpoint, "device"):
                owners[device].update(names(record.touchpoint, "customer"))
    shared = [device for device, customers in owners.items() if len(customers) > 1]
    assert 6 <= len(shared) <= 8
    assert all(len(owners[device]) == 2 for device in shared)


def test_surveys_agree_with_deliveries(valid: list[dict[str, Any]]) -> None:
    late: set[str] = set()
    on_time: set[str] = set()
    for touchpoint in valid:
        if touchpoint["type"] == "delivered" and names(touchpoint, "customer"):
            promised = datetime.fromisoformat(touchpoint["promised_at"])
            overdue = when(touchpoint) > promised + timedelta(days=1)
            (late if overdue else on_time).update(names(touchpoint, "customer"))
    answers: dict[bool, list[int]] = {True: [], False: []}
    for touchpoint in valid:
        if touchpoint.get("survey") == "nps" and "answer" in touchpoint:
            for customer in names(touchpoint, "customer"):
                if (customer in late) != (customer in on_time):
                    answers[customer in late].append(touchpoint["answer"])
    assert mean(answers[True]) < mean(answers[False]) - 1.5


def test_some_suffer_a_chain_of_trouble_and_fall_silent(valid: list[dict[str, Any]]) -> None:
    steps: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for touchpoint in valid:
        for customer in names(touchpoint, "customer"):
            steps[customer].append(touchpoint)
    silent = 0
    for touchpoints in steps.values():
        touchpoints.sort(key=when)
        last = [touchpoint["type"] for touchpoint in touchpoints[-4:]]
        if last[-1] == "consent_withdrawn" and "refunded" in last:
            silent += when(touchpoints[-1]) < UNTIL - timedelta(days=7)
    assert silent >= 8


@pytest.mark.parametrize("texts", [TEXTS_FA, TEXTS_EN], ids=["fa", "en"])
def test_templates_are_many_and_fill(texts: dict[str, tuple[str, ...]]) -> None:
    every = [text for occasion in texts.values() for text in occasion]
    assert len(set(every)) == len(every) >= 120
    slots = {"product": "P", "days": "3", "city": "C", "agent": "A", "order": "O"}
    assert not [text for text in every if "{" in text.format_map(slots)]
    assert TEXTS_FA.keys() == TEXTS_EN.keys()


def test_begins_at_once_for_a_long_stream() -> None:
    assert len(list(islice(simulate(200_000, 2_000, 1, UNTIL), 10))) == 10


@pytest.mark.parametrize(
    ("touchpoints", "customers", "until", "named"),
    [
        (0, 1, UNTIL, "touchpoints"),
        (1, 0, UNTIL, "customers"),
        (1, 1, datetime(2026, 1, 1), "until"),
    ],
)
def test_refuses_what_makes_no_sense(
    touchpoints: int, customers: int, until: datetime, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        next(simulate(touchpoints, customers, 1, until))
