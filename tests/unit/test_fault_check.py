"""The fault run's checker sees what is lost, doubled or wrong: each store is corrupted once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition

from schemas.outcome import Account, Contact, ContactUpdate, CustomerHealth, Member
from schemas.state import AnchorState, PartUpdate
from streams.agents.stitch import decode_health
from streams.cluster import SINK, WORKERS
from streams.core.accounts import roll_up
from streams.core.contacts import row_for_account
from streams.core.journey import CustomerState
from streams.core.policy import Policy
from streams.core.stitch import evaluate
from tests.faults import accounts, stream
from tests.faults.check import anchors, arrivals, counted, customers, members, outreach
from tests.faults.compare import Comparison, compare
from tests.faults.injections import FAULTS, planned
from tests.faults.pipeline import PRODUCER
from tests.faults.progress import SETTLING, Recovery, Snapshot
from tests.faults.summary import spread
from tests.faults.truth import SHARDS, Truth, digest, fold, folded_customers, united

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = b"key"
States = dict[str, AnchorState]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "stream"
    stream.write(path, 2_000, 7, NOW, KEY, "IR")
    return path


@pytest.fixture(scope="module")
def truth(path: Path) -> Truth:
    return united(fold(path, shard, KEY, "IR", NOW) for shard in range(SHARDS))


def figures(found: Comparison) -> tuple[int, int, int]:
    return found.lost, found.doubled, found.different


def test_lost_doubled_and_different_are_told_apart() -> None:
    found = compare("rows", {"a": 1, "b": 2, "c": 3}, [("b", 2), ("c", 4), ("b", 2), ("d", 5)])
    assert figures(found) == (1, 2, 1)
    assert not found.is_exact
    assert compare("rows", {"a": 1}, [("a", 1)]).is_exact


def test_the_truth_counts_every_touchpoint_once(path: Path, truth: Truth) -> None:
    sent = list(stream.read(path))
    assert len(sent) == 2_000
    assert len(truth.rows) == 1_978  # less duplicates and malformed ones
    assert sum(state.part.n for state in truth.anchors.values()) == 1_978
    assert list(stream.read(path, 1_500)) == sent[1_500:]


def test_oracle_and_core_know_the_same_customers(truth: Truth) -> None:
    assert truth.customers == folded_customers(truth.links)
    assert len(set(truth.customers.values())) < len(truth.customers)


def as_records(path: Path) -> list[Any]:
    return [
        SimpleNamespace(partition=0, offset=n, timestamp=n, value=value)
        for n, (_, value) in enumerate(stream.read(path))
    ]


def test_what_did_not_arrive_is_lost_and_what_nobody_sent_is_doubled(
    path: Path, truth: Truth
) -> None:
    found = as_records(path)
    whole = arrivals(truth, found)
    assert whole.sent.is_exact
    assert len(whole.letters) == 2
    again = arrivals(truth, found + found)  # a copy is the same record, and comes later
    assert again.sent.is_exact
    assert again.received == whole.received
    values = {record.value for record in found}
    gone = [record for record in found if record.value != found[0].value]
    assert len(values) == len({record.value for record in gone}) + 1
    assert figures(arrivals(truth, gone).sent) == (1, 0, 0)
    strange = [*found, SimpleNamespace(partition=0, offset=-1, timestamp=0, value=b"{}")]
    assert figures(arrivals(truth, strange).sent) == (0, 1, 0)


def written(truth: Truth) -> dict[str, bytes]:
    """The changelog of an undisturbed run."""
    states = {
        name: msgspec.structs.replace(state, customer=customer if customer != name else "")
        for name in {*truth.customers, *truth.anchors}
        if (state := truth.anchors.get(name, AnchorState()))
        and ((customer := truth.customer_of(name)) != name or state.part.n)
    }
    return {name: msgspec.json.encode(state) for name, state in states.items()}


def change(found: dict[str, bytes], name: str, alter: Callable[[AnchorState], None]) -> None:
    state = msgspec.json.decode(found[name], type=AnchorState)
    alter(state)
    found[name] = msgspec.json.encode(state)


def count_again(state: AnchorState) -> None:
    state.part.n += 1


def forget_an_event(state: AnchorState) -> None:
    state.seen.pop()


def stay_where_it_was(state: AnchorState) -> None:
    state.customer = "customer:somebody-else"


@pytest.mark.parametrize("alter", [count_again, forget_an_event, stay_where_it_was])
def test_a_state_that_is_wrong_shows(truth: Truth, alter: Callable[[AnchorState], None]) -> None:
    found = written(truth)
    assert figures(anchors(truth, found)) == (0, 0, 0)
    change(found, next(iter(truth.anchors)), alter)
    assert figures(anchors(truth, found)) == (0, 0, 1)


def test_a_state_that_is_missing_shows(truth: Truth) -> None:
    found = written(truth)
    del found[next(iter(truth.anchors))]
    assert figures(anchors(truth, found)) == (1, 0, 0)


def evaluated(truth: Truth) -> dict[str, CustomerHealth]:
    states: dict[str, CustomerState] = {}
    for anchor, state in truth.anchors.items():
        name = truth.customer_of(anchor)
        update = PartUpdate(anchor, name, 0, state.part.n, state.part)
        states.setdefault(name, CustomerState()).take(update)
    moment = int(NOW.timestamp() * 1000)
    rows = [evaluate(name, state, {}, moment, Policy())[0] for name, state in states.items()]
    return {row.customer: decode_health(msgspec.json.encode(row)) for row in rows}


def test_a_customer_with_a_touchpoint_too_many_shows(truth: Truth) -> None:
    standing = evaluated(truth)
    assert customers(truth, standing, Policy()).is_exact
    assert counted(len(truth.rows), standing).is_exact
    name, row = next(iter(standing.items()))
    standing[name] = msgspec.structs.replace(row, touchpoints=row.touchpoints + 1)
    assert figures(customers(truth, standing, Policy())) == (0, 0, 1)
    assert figures(counted(len(truth.rows), standing)) == (0, 1, 0)
    del standing[name]
    assert figures(customers(truth, standing, Policy())) == (1, 0, 0)
    assert counted(len(truth.rows), standing).lost == row.touchpoints


def test_a_second_decision_and_one_forgotten_show(truth: Truth) -> None:
    name, row = next(iter(evaluated(truth).items()))
    standing = {name: msgspec.structs.replace(row, reached={"in_distress": 1})}
    decided = {"1": (name, "in_distress")}
    stored = list(decided.items())
    assert all(found.is_exact for found in outreach(decided, stored, standing))
    twice = {**decided, "2": (name, "in_distress")}
    assert [figures(found) for found in outreach(twice, list(twice.items()), standing)] == [
        (0, 0, 0),
        (0, 1, 0),
    ]
    assert [figures(found) for found in outreach(decided, [], standing)] == [(1, 0, 0), (1, 0, 0)]
    # Asked for by a worker that died, of whose reasons the next one found none.
    assert all(found.is_exact for found in outreach(decided, stored, {}))


class Told:
    """What the accounts of some customers should have been told, and should say."""

    def __init__(self, standing: dict[str, CustomerHealth]) -> None:
        self.standing = [row for row in standing.values() if row.account]
        rows = [row_for_account(row) for row in self.standing]
        self.contacts = [
            ContactUpdate(row.account, row.customer, 1, 0, Contact(row, [], 0)) for row in rows
        ]
        self.accounts = [
            Account(**msgspec.structs.asdict(health))
            for name in dict.fromkeys(row.account for row in rows)
            if (health := roll_up(name, [r for r in rows if r.account == name], Policy()))
        ]

    def figures(self) -> list[tuple[int, int, int]]:
        told = (self.standing, self.contacts, self.accounts)
        stored = [
            tuple(getattr(one, name) for name in ("account", *accounts.FIELDS))
            for one in self.accounts
        ]
        return [figures(found) for found in accounts.check(*told, stored, Policy())]


def test_a_contact_and_an_account_that_are_wrong_show(truth: Truth) -> None:
    told = Told(evaluated(truth))
    assert len(told.accounts) > 1
    assert told.figures() == [(0, 0, 0)] * 3
    first = told.contacts.pop()
    assert told.figures() == [(1, 0, 0), (0, 0, 0), (0, 0, 0)]
    told.contacts += [first, msgspec.structs.replace(first, account="left long ago")]
    assert told.figures() == [(0, 1, 0), (0, 0, 0), (0, 0, 0)]
    told.contacts[-1] = msgspec.structs.replace(told.contacts[-1], contact=None)
    one = told.accounts.pop()
    assert told.figures() == [(0, 0, 0), (1, 0, 0), (1, 0, 0)]
    told.accounts.append(msgspec.structs.replace(one, health=one.health + 1))
    assert told.figures() == [(0, 0, 0), (0, 0, 1), (0, 0, 1)]


def test_of_an_identifiers_customers_the_highest_epoch_counts() -> None:
    records = [
        SimpleNamespace(value=msgspec.json.encode(Member("cookie:k", customer, epoch)))
        for customer, epoch in (("customer:A", 1), ("customer:B", 5), ("customer:A", 3))
    ]
    assert list(members([*records, SimpleNamespace(value=None)])) == [("cookie:k", "customer:B")]
    back = SimpleNamespace(value=msgspec.json.encode(Member("cookie:k", "cookie:k", 6)))
    assert list(members([*records, back])) == []


TP = TopicPartition("touchpoints", 0)


def seen(began: float, committed: int, end: int) -> Snapshot:
    return Snapshot(began, {TP: end}, {WORKERS: {TP: committed}, SINK: {}})


def test_a_fault_is_made_good_when_what_came_after_it_is_read() -> None:
    recovery = Recovery("kill worker", injected=10.0, groups=(WORKERS,))
    recovery.look(seen(12.0, committed=9, end=9), 0, 99)
    assert not recovery.marks  # it lasts
    recovery.healed = 13.0
    recovery.look(seen(13.5, committed=9, end=9), 0, 99)
    assert not recovery.recovered  # the last look was too early to show whether it still works
    recovery.look(seen(13.0 + SETTLING, committed=9, end=12), 0, 99)
    recovery.look(seen(15.0, committed=11, end=30), 0, 99)
    assert not recovery.recovered
    recovery.look(seen(16.0, committed=12, end=40), 0, 99)
    assert recovery.recovered


def test_a_producer_is_back_when_more_is_acknowledged() -> None:
    recovery = Recovery("kill producer", injected=1.0, groups=(PRODUCER,), healed=1.0)
    recovery.look(seen(3.0, 0, 0), 50, 99)
    recovery.look(seen(4.0, 0, 0), 50, 99)
    assert not recovery.recovered
    recovery.look(seen(5.0, 0, 0), 51, 99)
    assert recovery.recovered


def test_a_plan_is_the_same_for_a_seed_and_has_every_kind() -> None:
    plan = planned(len(FAULTS), 1, (5.0, 9.0), FAULTS)
    assert plan == planned(len(FAULTS), 1, (5.0, 9.0), FAULTS)
    assert plan != planned(len(FAULTS), 2, (5.0, 9.0), FAULTS)
    assert {fault.kind for _, fault, _ in plan} == {fault.kind for fault in FAULTS}
    times = [at for at, _, _ in plan]
    assert all(5 <= later - at <= 9 for at, later in zip([0.0, *times], times, strict=False))


def test_percentiles_are_measured_values() -> None:
    assert spread([float(n) for n in range(1, 21)]) == {"median": 10.0, "p95": 19.0, "max": 20.0}
    assert spread([]) == {"median": None, "p95": None, "max": None}


def test_a_digest_tells_records_apart() -> None:
    assert digest(b"a") != digest(b"b")
