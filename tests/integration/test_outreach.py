"""A crowd crosses a rule at once on a running stack, workers are killed; the verbs tell of it."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.outcome import UNFINISHED
from schemas.settings import load
from streams.cluster import DISPATCH, committed
from streams.core.guard import held_out
from tests.endpoint import SECRET, Endpoint, serving
from tests.integration.journey import Running, answer, journey, running, until, write_ndjson
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

CUSTOMERS = 2_000
SHARE = 0.1
# Where it is about noon, so that a day's budget does not end in the middle.
ZONE = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"
RULES = f"""
guard:
  zone: {ZONE}
  language: en
  account_cap: {{most: 3, in: 7d}}
  budget: %d
  holdout: {SHARE}
  salt: crowd
rules:
  - name: waited
    when: {{cause: long waits}}
    channel: call_task
    cooldown: 3d
    ways_out: [call_back, refund]
    template:
      en: {{subject: Sorry, body: "{{reason}}. Choose: {{ways_out}}."}}
      fa: {{subject: پوزش, body: "{{reason}}. {{ways_out}}."}}
"""
COLUMNS = ("customer", "taken", "suppressed_by", "holdout", "account", "decision_id")


def crowd(customers: int) -> list[dict[str, Any]]:
    """A long wait each; every tenth is of one of three companies, every twentieth said no."""
    now = datetime.now(UTC)
    found = []
    for n in range(customers):
        names = [{"kind": "customer", "value": f"crowd-{n}"}]
        if n % 20 == 3:
            no = {"type": "consent_withdrawn", "channel": "web", "purpose": "outreach"}
            at = (now - timedelta(hours=1)).isoformat()
            found.append(touchpoint(2 * n, occurred_at=at, identifiers=names, **no))
        call = {"channel": "call_center", "type": "call", "wait_seconds": 3_000}
        if n % 10 == 0:
            call["account"] = f"B2B-{n // 10 % 3}"
        found.append(touchpoint(2 * n + 1, occurred_at=now.isoformat(), identifiers=names, **call))
    return sorted(found, key=lambda one: str(one["occurred_at"]))


def decisions(stack: Running) -> list[tuple[Any, ...]]:
    client = stack.clickhouse()
    try:
        found: list[tuple[Any, ...]] = client.execute(f"SELECT {', '.join(COLUMNS)} FROM outreach")
    finally:
        client.disconnect()
    return found


def outcomes(stack: Running) -> dict[str, str]:
    """What became of each decision, of those that ended."""
    query = "SELECT decision_id, status FROM outreach_outcomes FINAL"
    client = stack.clickhouse()
    try:
        return {id_: status for id_, status in client.execute(query) if status not in UNFINISHED}
    finally:
        client.disconnect()


def written_rules(folder: Path, customers: int) -> Path:
    """Rules whose budget does for three quarters of the customers."""
    path = folder / "rules.yaml"
    path.write_text(RULES % (customers * 3 // 4), encoding="utf-8")
    return path


def cross(stack: Running, file: Path, customers: int) -> int:
    """Send a crowd and kill every worker in the middle; how many were decided on by then."""
    assert journey(stack.data, "import", str(file)).returncode == 0
    until(lambda: bool(decisions(stack)), "nothing is decided")
    for part in stack.pids():
        if part.startswith("worker"):
            stack.kill(part)
    then = len(set(decisions(stack)))
    until(lambda: len(set(decisions(stack))) >= customers, "not everybody is decided on")
    check(decisions(stack), customers)
    return then


def check(found: list[tuple[Any, ...]], customers: int) -> None:
    """Everybody is decided on once, and every limit is used to the full and not beyond."""
    once = set(found)
    assert len({row[5] for row in once}) == len(once) == customers
    assert {row[0] for row in once} == {f"customer:crowd-{n}" for n in range(customers)}
    taken = {row[0] for row in once if row[1]}
    assert len(taken) == customers * 3 // 4
    assert not any(held_out(customer, "crowd", SHARE) for customer in taken)
    assert all(held_out(row[0], "crowd", SHARE) for row in once if row[3])
    refused = {f"customer:crowd-{n}" for n in range(customers) if n % 20 == 3}
    assert {row[0] for row in once if row[2] == "consent"} == refused
    accounts = Counter(row[4] for row in once if row[1] and row[4])
    assert set(accounts.values()) == {3}
    assert {row[2] for row in once} == {"", "consent", "account_cap", "budget", "holdout"}


def test_a_crowd_is_decided_on_exactly_once_though_workers_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    with serving(Endpoint()) as endpoint:
        check_crowd(tmp_path, endpoint)


def check_crowd(tmp_path: Path, endpoint: Endpoint) -> None:
    rules, data = written_rules(tmp_path, CUSTOMERS), tmp_path / "data"
    endpoints = tmp_path / "endpoints.yaml"
    endpoints.write_text(f"call_task: {{url: {endpoint.url('/')}, secret: SECRET}}")
    given = {"rules_file": rules, "endpoints_file": endpoints}
    file = write_ndjson(tmp_path / "crowd.ndjson", crowd(CUSTOMERS))
    with running(data, "up", **given) as stack:
        cross(stack, file, CUSTOMERS)
        told = lines(data, "outreach", "list", "--newest", "5", "--json")
        assert len(told) == 5
        (one,) = lines(data, "outreach", "list", "--customer", "customer:crowd-3", "--json")
        assert (one["suppressed_by"], one["detail"]) == ("consent", "consent withdrawn")
        effect = answer(data, "outreach", "effect", "--days", "1")
        assert (effect["enough"], effect["reached"]["customers"]) == (False, 0)
        before = lines(data, "rules", "test", str(rules), "--json")
        check([tuple(one[name] for name in COLUMNS) for one in before], CUSTOMERS)
        reached = {row for row in decisions(stack) if row[1]}
        once = {row[5]: 1 for row in reached}
        until(lambda: len(outcomes(stack)) == len(reached), "not all is sent")
        assert outcomes(stack) == dict.fromkeys(once, "sent")
        assert endpoint.times("/") == once
        told = lines(data, "outreach", "list", "--newest", str(CUSTOMERS), "--json")
        assert {one["outcome"] for one in told if one["taken"]} == {"sent"}
        assert {one["outcome"] for one in told if not one["taken"]} == {""}
        assert stack.end(signal.SIGTERM) == 0
    # The broker has forgotten everything: what was decided and sent comes back from the ledger.
    with running(data, "up", **given) as stack:
        again = crowd(CUSTOMERS // 10)
        for n, sent in enumerate(again):
            sent["event_id"] = touchpoint(10_000_000 + n)["event_id"]
        file = write_ndjson(tmp_path / "again.ndjson", again)
        assert journey(data, "import", str(file), "--wait").returncode == 0
        assert {row for row in decisions(stack) if row[1]} == reached
        settings = load(data=data)
        until(
            lambda: committed(settings, DISPATCH, "outreach").get(0, 0) >= len(reached),
            "the dispatcher has not read what was decided",
        )
        assert endpoint.times("/") == once


def lines(data: Path, *arguments: str) -> list[dict[str, Any]]:
    done = journey(data, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
