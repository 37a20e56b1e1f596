"""Accounts on a running stack: as the ledger says, through kill -9, erasure and a rebuild."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from analytics.replay import account_pasts
from schemas.outcome import Account
from sinks.clickhouse import connect, prepare
from sinks.rows import ACCOUNTS
from sinks.writer import ClickHouseWriter
from tests.integration.journey import Running, journey, running, until, write_ndjson
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

COMPANIES, USERS = 12, 4
ZONE = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
RULES = f"""
guard: {{zone: {ZONE}, language: en}}
rules:
  - name: account_red
    when:
      account_band: red
      contacts: {{above: 1}}
      silence: {{above: 2}}
    to: [champion, anyone]
    channel: call_task
    cooldown: 3d
    ways_out: [call_back]
    template: &texts
      en: {{subject: "{{account}}", body: "{{role}}, {{silence}} days: {{ways_out}}."}}
      fa: {{subject: "{{account}}", body: "{{role}}: {{ways_out}}."}}
  - name: account_lost
    when: {{account_health_drop: {{points: 99, days: 30}}}}
    to: anyone
    channel: call_task
    ways_out: [call_back]
    template: *texts
"""
SHOWN = ("account", "health", "band", "contacts", "bands", "weakest", "reasons")


def company(number: int) -> list[dict[str, Any]]:
    """A decision maker whom every other company has upset, and others, of whom one is silent."""
    now = datetime.now(UTC)
    found = []

    def told(who: str, role: str, hours: float, **deed: Any) -> None:
        found.append(
            touchpoint(
                1_000 * number + len(found),
                occurred_at=(now - timedelta(hours=hours)).isoformat(),
                identifiers=[{"kind": "customer", "value": f"{who}-{number}"}],
                account=f"B2B-{number}",
                properties={"role": role},
                **deed,
            )
        )

    for n in range(USERS):
        told(f"user{n}", "user", 30 + n)
    told("champion", "champion", 100)
    call = {"channel": "call_center", "type": "call", "wait_seconds": 3_000, "resolved": False}
    call |= {"transfers": 2, "text": "terrible service, I am very angry, nobody helps"}
    for hours in (9, 6, 3):
        told("boss", "decision_maker", hours, **(call if number % 2 else {}))
    return found


def live(stack: Running) -> list[dict[str, Any]]:
    """Accounts as they were last stored, those that have contacts."""
    client = stack.clickhouse()
    try:
        rows = client.execute(
            f"SELECT {', '.join(SHOWN)} FROM accounts ORDER BY evaluated_at DESC LIMIT 1 BY account"
        )
    finally:
        client.disconnect()
    found = [dict(zip(SHOWN, row, strict=True)) for row in rows]
    return sorted((one for one in found if one["contacts"]), key=lambda one: str(one["account"]))


def past(stack: Running, account: str) -> dict[int, int]:
    """Health by day, as the account remembers it for its rules."""
    client = stack.clickhouse()
    try:
        query = "SELECT past FROM accounts WHERE account = %(a)s ORDER BY evaluated_at DESC LIMIT 1"
        found: dict[int, int] = client.execute(query, {"a": account})[0][0]
    finally:
        client.disconnect()
    return found


def stood(stack: Running, account: str, days_ago: int, health: int) -> None:
    """An account is stored to have stood somewhere."""
    client = stack.clickhouse()
    try:
        at = datetime.now(UTC) - timedelta(days=days_ago)
        insert = "INSERT INTO accounts (account, evaluated_at, health, contacts) VALUES"
        client.execute(insert, [(account, at, health, 1)])
    finally:
        client.disconnect()


def computed(data: Path) -> list[dict[str, Any]]:
    """Accounts as they are computed from the stored parts."""
    found = [{name: one[name] for name in SHOWN} for one in lines(data, "accounts", "--json")]
    return sorted(found, key=lambda one: str(one["account"]))


def lines(data: Path, *arguments: str) -> list[dict[str, Any]]:
    done = journey(data, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def decisions(data: Path) -> set[tuple[str, str, bool, str]]:
    found = lines(data, "outreach", "list", "--json")
    return {(one["account"], one["customer"], one["taken"], one["rule"]) for one in found}


def test_an_account_s_past_is_the_last_of_each_day_and_of_all_before(clickhouse_url: str) -> None:
    prepare(clickhouse_url)
    client = connect(clickhouse_url)
    day, hour = 20_600, 3_600_000
    rows = [
        Account("B2B", (day * 24 + at) * hour, health, "red", contacts, {}, "", [])
        for at, health, contacts in [
            *[(0, 10, 1), (30, 20, 1), (47, 30, 1), (72, 40, 2), (73, 0, 0), (100, 50, 1)],
            (101, 60, 1),
        ]
    ]
    rows += [msgspec.structs.replace(rows[0], account="other", health=7)]
    ClickHouseWriter(client).insert(ACCOUNTS, ACCOUNTS.rows(rows))
    assert account_pasts(client, day + 2) == {
        "B2B": {day + 1: 30, day + 3: 40, day + 4: 60},
        "other": {day: 7},
    }
    client.disconnect()


def test_accounts_are_live_and_right_whatever_happens_to_workers(tmp_path: Path) -> None:
    data, rules = tmp_path / "data", tmp_path / "rules.yaml"
    rules.write_text(RULES)
    touchpoints = [one for number in range(COMPANIES) for one in company(number)]
    half = len(touchpoints) // 2
    files = [
        write_ndjson(tmp_path / f"{n}.ndjson", part)
        for n, part in enumerate((touchpoints[:half], touchpoints[half:]))
    ]
    reached = {
        (f"B2B-{n}", f"customer:champion-{n}", True, "account_red") for n in range(COMPANIES)
    }
    expected = {one for one in reached if int(one[0].partition("-")[2]) % 2}
    with running(data, "up", rules_file=rules) as stack:
        assert journey(data, "import", str(files[0])).returncode == 0
        for part in stack.pids():
            if part.startswith("worker"):
                stack.kill(part)
        assert journey(data, "import", str(files[1]), "--wait").returncode == 0
        until(lambda: live(stack) == computed(data), "accounts are not as the ledger says")
        assert [one["contacts"] for one in live(stack)] == [USERS + 2] * COMPANIES
        until(lambda: decisions(data) == expected, "the champions are not reached")
        (one, *_) = lines(data, "outreach", "list", "--customer", "customer:champion-1", "--json")
        assert one["why"].startswith("contacts average")
        tried = lines(data, "rules", "test", str(rules), "--json")
        assert {(each["account"], each["customer"]) for each in tried if each["taken"]} == {
            each[:2] for each in expected
        }
        assert journey(data, "erase", "customer:boss-1", "--yes").returncode == 0
        gone = live(stack)
        assert gone == computed(data)
        assert '"customer:boss-1"' not in json.dumps(gone)
        assert next(one["contacts"] for one in gone if one["account"] == "B2B-1") == USERS + 1
        told = journey(data, "reconcile")
        assert told.returncode == 0, told.stdout
        for days_ago, health in ((200, 1), (60, 95), (11, 70), (10, 72)):
            stood(stack, "B2B-2", days_ago, health)
        today = datetime.now(UTC).toordinal() - datetime(1970, 1, 1, tzinfo=UTC).toordinal()
        assert set(past(stack, "B2B-2")) <= {today - 1, today}
        assert stack.end(signal.SIGTERM) == 0
    # The broker has forgotten everything: state is rebuilt from the ledger.
    with running(data, "up", rules_file=rules) as stack:
        file = write_ndjson(tmp_path / "again.ndjson", company(COMPANIES))
        assert journey(data, "import", str(file), "--wait").returncode == 0
        until(lambda: live(stack) == computed(data), "accounts are not as the ledger says")
        assert len(live(stack)) == COMPANIES + 1
        assert decisions(data) == expected
        before = {day: health for day, health in past(stack, "B2B-2").items() if day < today - 1}
        assert before == {today - 60: 95, today - 11: 70, today - 10: 72}
        assert stack.end(signal.SIGTERM) == 0
