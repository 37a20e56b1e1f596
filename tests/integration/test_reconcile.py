"""Drift put into the tables by hand is found, told and repaired; then live state goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from clickhouse_driver import Client

from deploy.local.stack import Stack
from producers.publisher import Publisher
from schemas import topics
from schemas.state import AnchorState, Part
from sinks.clickhouse import connect
from tests.integration.journey import answer, journey, write_ndjson
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

COOKIE, DEVICE, LONER = "cookie:drift-1", "device:drift-1", "cookie:drift-2"
CLEAN = {"members": 0, "parts": 0, "customers": 0, "accounts": 0}
AS_OF = "2026-11-22T00:00:00Z"


def visit(n: int, *identifiers: str) -> dict[str, Any]:
    names = [dict(zip(("kind", "value"), i.split(":"), strict=True)) for i in identifiers]
    return touchpoint(8_000 + n, occurred_at=f"2026-11-{n:02}T08:30:00Z", identifiers=names)


@pytest.fixture(scope="module")
def data(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    story = [visit(1, COOKIE), visit(2, COOKIE, DEVICE), visit(3, DEVICE), visit(4, LONER)]
    story += [visit(n, f"cookie:staff-{n}") | {"account": "B2B-7"} for n in (1, 2)]
    send(stack.settings.data, tmp_path_factory.mktemp("drift") / "story.ndjson", story)
    return stack.settings.data


@pytest.fixture
def tables(stack: Stack) -> Iterator[Client]:
    client = connect(stack.settings.clickhouse.get_secret_value())
    yield client
    client.disconnect()


def send(data: Path, file: Path, touchpoints: list[dict[str, Any]]) -> None:
    assert answer(data, "import", str(write_ndjson(file, touchpoints)), "--wait")["published"]


def reconciled(data: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = journey(data, "reconcile", "--json", *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def customers(data: Path) -> str:
    done = journey(data, "customers", "--as-of", AS_OF, "--json")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_drift_there_is_none(data: Path) -> None:
    code, report = reconciled(data)
    assert (code, report["exact"], report["drift"]) == (0, True, CLEAN), report
    assert report["touchpoints"] >= 4
    assert "Drift: members 0, parts 0, customers 0, accounts 0" in journey(data, "reconcile").stdout


@pytest.mark.parametrize(
    ("damage", "drift", "told"),
    [
        (
            f"INSERT INTO parts (anchor, customer, epoch, n, part) "
            f"VALUES ('{LONER}', '{LONER}', 99, 7, '{{\"n\": 7}}')",
            {"parts": 1},
            (
                LONER,
                f"1 touchpoints of {LONER}, differs in visits, latest, first_ms, "
                f"last_ms, last_visit_ms",
                f"7 touchpoints of {LONER}, differs in visits, latest, first_ms, "
                f"last_ms, last_visit_ms",
            ),
        ),
        (
            f"INSERT INTO parts (anchor, customer, epoch, n, part) "
            f"SELECT anchor, 'cookie:wrong', 99, n, part FROM parts FINAL WHERE anchor='{LONER}'",
            {"parts": 1},
            (LONER, f"1 touchpoints of {LONER}", "1 touchpoints of cookie:wrong"),
        ),
        (
            f"ALTER TABLE parts DELETE WHERE anchor = '{DEVICE}'",
            {"parts": 1},
            (DEVICE, f"2 touchpoints of {DEVICE}", "nothing"),
        ),
        (
            f"ALTER TABLE identity_members DELETE WHERE identifier = '{COOKIE}'",
            {"members": 1},
            (COOKIE, DEVICE, "nothing"),
        ),
        (
            f"INSERT INTO identity_members VALUES ('{LONER}', '{DEVICE}', 99)",
            {"members": 1},
            (LONER, "nothing", DEVICE),
        ),
        (
            f"INSERT INTO health (customer, evaluated_at, identifiers, touchpoints) "
            f"SELECT customer, now64(3, 'UTC') + 1, 5, 50 FROM health WHERE customer='{DEVICE}' "
            f"LIMIT 1",
            {"customers": 1},
            (DEVICE, "3 touchpoints of 2 identifiers", "50 touchpoints of 5 identifiers"),
        ),
        (
            "INSERT INTO health (customer, evaluated_at, identifiers, touchpoints) "
            "VALUES ('cookie:drift-ghost', now64(3, 'UTC'), 1, 1)",
            {"customers": 1},
            ("cookie:drift-ghost", "nothing", "1 touchpoints of 1 identifiers"),
        ),
        (
            "INSERT INTO accounts (account, evaluated_at, health, band, contacts) "
            "VALUES ('B2B-7', now64(3, 'UTC') + 1, 3, 'red', 9)",
            {"accounts": 1},
            ("B2B-7", "2 contacts", "9 contacts"),
        ),
        (
            "ALTER TABLE accounts DELETE WHERE account = 'B2B-7'",
            {"accounts": 1},
            ("B2B-7", "2 contacts", "nothing"),
        ),
        (
            "INSERT INTO accounts (account, evaluated_at, health, band, contacts) "
            "VALUES ('B2B-ghost', now64(3, 'UTC'), 3, 'red', 1)",
            {"accounts": 1},
            ("B2B-ghost", "nothing", "1 contacts"),
        ),
    ],
    ids=[
        "a part changed",
        "a part moved",
        "a part lost",
        "a member lost",
        "a member made up",
        "health of something else",
        "a customer made up",
        "an account changed",
        "an account lost",
        "an account made up",
    ],
)
def test_drift_is_found_and_repaired(
    data: Path, tables: Client, damage: str, drift: dict[str, int], told: tuple[str, str, str]
) -> None:
    before = customers(data)
    tables.execute(damage, settings={"mutations_sync": 2})
    code, report = reconciled(data, "--repair")
    assert (code, report["drift"], report["left"]) == (0, CLEAN | drift, CLEAN), report
    (difference,) = report["differences"]
    assert (difference["name"], difference["ledger"], difference["stored"]) == told
    assert report["workers"] == 0
    assert customers(data) == before


def test_a_repaired_account_keeps_what_its_rules_remember(data: Path, tables: Client) -> None:
    tables.execute(
        "INSERT INTO accounts (account, evaluated_at, health, band, contacts, reached, past) "
        "SELECT 'B2B-7', now64(3, 'UTC') + 1, 3, 'red', 9, "
        "map('account_red', toDateTime64('2026-11-20 10:00:00', 3, 'UTC')), map(20000, 70)"
    )
    assert reconciled(data, "--repair")[0] == 0
    rows = tables.execute(
        "SELECT contacts, bands, mapKeys(reached), toUnixTimestamp(reached['account_red']), past "
        "FROM accounts FINAL WHERE account = 'B2B-7' ORDER BY evaluated_at DESC LIMIT 1"
    )
    assert rows == [(2, {"green": 2}, ["account_red"], 1_795_168_800, {20_000: 70})]


def test_without_repair_drift_is_told_and_stays(data: Path, tables: Client) -> None:
    ghost = "INSERT INTO identity_members VALUES ('cookie:drift-3', 'cookie:drift-2', 99)"
    tables.execute(ghost)
    shown = journey(data, "reconcile")
    assert shown.returncode == 1
    assert "cookie:drift-3: the ledger says nothing, stored is cookie:drift-2" in shown.stdout
    assert "Drift: members 1, parts 0, customers 0, accounts 0" in shown.stdout
    code, report = reconciled(data)
    assert (code, report["exact"], report["drift"]) == (1, False, CLEAN | {"members": 1})
    repaired = journey(data, "reconcile", "--repair")
    assert repaired.returncode == 0
    assert "After the repair: members 0, parts 0, customers 0, accounts 0" in repaired.stdout


def test_after_a_repair_the_next_touchpoint_is_counted_on_top(
    data: Path, tables: Client, tmp_path: Path
) -> None:
    tables.execute(
        f"INSERT INTO parts (anchor, customer, epoch, n, part) "
        f"VALUES ('{COOKIE}', 'cookie:wrong', 99, 70, '{{\"n\": 70}}')"
    )
    assert reconciled(data, "--repair")[0] == 0
    send(data, tmp_path / "more.ndjson", [visit(5, COOKIE)])
    assert reconciled(data)[0] == 0
    rows = tables.execute(f"SELECT customer, n FROM parts FINAL WHERE anchor = '{COOKIE}'")
    assert rows == [(DEVICE, 2)]


def test_a_repair_says_where_the_workers_are_wrong_too(
    data: Path, stack: Stack, tables: Client, tmp_path: Path
) -> None:
    wrong = msgspec.json.encode(AnchorState(Part(n=7)))
    with Publisher(stack.settings) as publisher:
        publisher.publish(wrong, LONER, topics.ANCHORS.name)
    tables.execute(
        f"INSERT INTO parts (anchor, customer, epoch, n, part) "
        f"VALUES ('{LONER}', '{LONER}', 99, 7, '{{\"n\": 7}}')"
    )
    code, report = reconciled(data, "--repair")
    assert (code, report["exact"], report["left"], report["workers"]) == (1, False, CLEAN, 1)
    # The worker's memory was right all the time; with a touchpoint it writes that down.
    send(data, tmp_path / "more.ndjson", [visit(6, LONER)])
    assert reconciled(data)[0] == 0
