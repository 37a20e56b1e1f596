"""Ten thousand customers cross a rule at once; whoever decides and whoever sends is killed.

From touchpoints to the company's endpoint on a running stack. The figures are printed: `pytest -s`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.local.scrape import quantile, scrape
from producers.publisher import Publisher
from schemas import topics
from schemas.outcome import OutreachRequest
from schemas.settings import load
from streams.core.guard import held_out
from tests.endpoint import SECRET, Answer, Endpoint, serving
from tests.integration.journey import Running, journey, running, until, write_ndjson
from tests.integration.test_outreach import lines
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

CUSTOMERS = 10_000
BUDGET = 7_000
SHARE = 0.1
AT_ONCE = 16  # requests under way at the endpoint
ASKED_AGAIN = 500


def zone_where_it_is(hour: int) -> str:
    """A zone with that hour now; its name has the sign of POSIX, west positive."""
    east = (hour - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-east:+d}"


NOON, NIGHT = zone_where_it_is(12), zone_where_it_is(0)
RULE = """
  - name: %s
    when: {%s}
    channel: call_task
    cooldown: 3d
    ways_out: [call_back, refund]
    template:
      en: {subject: Sorry, body: "{reason}. Choose: {ways_out}."}
      fa: {subject: پوزش, body: "{reason}. {ways_out}."}"""
RULES = (
    f"""
guard:
  zone: {NOON}
  language: en
  quiet_hours: {{from: 20:00, to: 07:00}}
  customer_cap: {{most: 1, in: 7d}}
  account_cap: {{most: 3, in: 7d}}
  budget: {BUDGET}
  holdout: {SHARE}
  salt: crowd
rules:"""
    + RULE % ("waited", "cause: long waits")
    + RULE % ("never", "health: {below: 0}")
    + "\n"
)
QUERY = "SELECT DISTINCT customer, decision_id, suppressed_by, account FROM outreach"
Decided = tuple[str, str, str, str]


def crowd() -> list[dict[str, Any]]:
    """A long wait each. Some said no, for some it is night, some are of one of three companies."""
    now = datetime.now(UTC)
    found = []
    for n in range(CUSTOMERS):
        names = [{"kind": "customer", "value": f"crowd-{n}"}]
        if refused(n):
            no = {"type": "consent_withdrawn", "channel": "web", "purpose": "outreach"}
            at = (now - timedelta(hours=1)).isoformat()
            found.append(touchpoint(2 * n, occurred_at=at, identifiers=names, **no))
        call: dict[str, Any] = {"channel": "call_center", "type": "call", "wait_seconds": 3_000}
        if of_company(n):
            call["account"] = f"B2B-{n // 10 % 3}"
        if asleep(n):
            call["properties"] = {"time_zone": NIGHT}
        found.append(touchpoint(2 * n + 1, occurred_at=now.isoformat(), identifiers=names, **call))
    return sorted(found, key=lambda one: str(one["occurred_at"]))


def refused(n: int) -> bool:
    return n % 20 == 3


def asleep(n: int) -> bool:
    return n % 20 == 7


def of_company(n: int) -> bool:
    return n % 10 == 0


def ask(stack: Running, query: str) -> list[tuple[Any, ...]]:
    client = stack.clickhouse()
    try:
        found: list[tuple[Any, ...]] = client.execute(query)
    finally:
        client.disconnect()
    return found


def ids(found: list[Decided], suppressed_by: str) -> dict[str, str]:
    """Decision ids of the customers to whom a check objected; of those reached where it is ''."""
    return {one[0]: one[1] for one in found if one[2] == suppressed_by}


def test_ten_thousand_cross_a_rule_and_each_is_called_once_though_all_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", SECRET)
    rules, file, data = tmp_path / "rules.yaml", tmp_path / "endpoints.yaml", tmp_path / "data"
    rules.write_text(RULES, encoding="utf-8")
    touchpoints = write_ndjson(tmp_path / "crowd.ndjson", crowd())
    endpoint = Endpoint()
    endpoint.answer = lambda _: Answer(201)
    with serving(endpoint):
        file.write_text(
            f"call_task: {{url: {endpoint.url('/tasks')}, secret: SECRET, concurrency: {AT_ONCE}}}"
        )
        with running(data, "up", rules_file=rules, endpoints_file=file) as stack:
            began = time.time()
            assert journey(data, "import", str(touchpoints)).returncode == 0
            until(lambda: len(endpoint.received) > 300, "nothing is sent")
            stack.kill("worker-1")
            until(lambda: len(endpoint.received) > 1_500, "nothing is sent any more")
            stack.kill("dispatch")
            until(lambda: len(ask(stack, QUERY)) >= CUSTOMERS, "not everybody is decided on")
            found: list[Decided] = ask(stack, QUERY)  # type: ignore[assignment]
            check_decisions(found)
            reached = ids(found, "")
            until(lambda: called(stack) >= BUDGET, "not all that was decided is sent")
            took = time.time() - began
            check_calls(stack, endpoint, reached)
            print(figures(stack, took))
            check_asked_again(stack, sorted(reached)[:ASKED_AGAIN])
            assert set(endpoint.times("/tasks")) == set(reached.values())
            (one,) = lines(data, "outreach", "list", "--customer", min(reached), "--rule", "waited",
                           "--newest", "1", "--json")  # fmt: skip
            assert one["suppressed_by"] in ("", "cooldown")
            shown = journey(data, "customer", min(reached))
            assert "outreach" in shown.stdout, shown.stderr


def called(stack: Running) -> int:
    query = "SELECT count() FROM outreach_outcomes FINAL WHERE status = 'sent'"
    return int(ask(stack, query)[0][0])


def check_decisions(found: list[Decided]) -> None:
    """Everybody is decided on once, and every limit is used to the full and not beyond."""
    crowd_ = {f"customer:crowd-{n}": n for n in range(CUSTOMERS)}
    assert len({one[1] for one in found}) == len(found) == CUSTOMERS
    assert {one[0] for one in found} == set(crowd_)
    reached = ids(found, "")
    assert len(reached) == BUDGET
    assert not any(held_out(customer, "crowd", SHARE) for customer in reached)
    assert all(held_out(customer, "crowd", SHARE) for customer in ids(found, "holdout"))
    assert set(ids(found, "consent")) == {name for name, n in crowd_.items() if refused(n)}
    assert set(ids(found, "quiet_hours")) == {name for name, n in crowd_.items() if asleep(n)}
    accounts = Counter(one[3] for one in found if one[2] == "" and one[3])
    assert set(accounts.values()) == {3}
    told = {one[2] for one in found}
    assert told == {"", "consent", "quiet_hours", "account_cap", "budget", "holdout"}


def check_calls(stack: Running, endpoint: Endpoint, reached: dict[str, str]) -> None:
    """Each decision taken reached the endpoint, in the name of its customer, and is on record."""
    times = endpoint.times("/tasks")
    assert set(times) == set(reached.values())
    assert sum(times.values()) - len(times) <= AT_ONCE, "more was sent twice than was under way"
    assert {one.data["customer"]: one.key for one in endpoint.received} == reached
    outcomes = ask(stack, "SELECT decision_id, status FROM outreach_outcomes FINAL")
    assert dict(outcomes) == dict.fromkeys(reached.values(), "sent")
    query = (
        "SELECT customer, fields['decision'] FROM ledger WHERE channel = 'outreach' "
        "AND type = 'sent'"
    )
    until(lambda: len(ask(stack, query)) >= len(reached), "the journeys do not show the calls")
    assert dict(ask(stack, query)) == reached
    assert len(ask(stack, query)) == len(reached)


def check_asked_again(stack: Running, customers: list[str]) -> None:
    """Asked for those reached once more: the cooldown of the rule objects, of another the cap."""
    half = len(customers) // 2
    now = time.time_ns() // 1_000_000
    with Publisher(load(data=stack.data)) as publisher:
        for n, customer in enumerate(customers):
            rule = "waited" if n < half else "never"
            asked = OutreachRequest(
                f"again-{n}", customer, [customer], rule, "call_task", now, "", 40, 500
            )
            publisher.publish(msgspec.json.encode(asked), customer, topics.REQUESTS.name)
    query = (
        "SELECT suppressed_by, count(DISTINCT decision_id) FROM outreach "
        "WHERE startsWith(decision_id, 'again-') GROUP BY suppressed_by"
    )
    until(
        lambda: sum(row[1] for row in ask(stack, query)) >= len(customers), "nobody decides again"
    )
    assert dict(ask(stack, query)) == {"cooldown": half, "customer_cap": len(customers) - half}


def figures(stack: Running, took: float) -> str:
    """Latencies in milliseconds; those of the worker are since it was killed."""
    recorded = json.loads((stack.data / "stack.json").read_text())["metrics"]
    pages = [scrape(port) for name, port in recorded.items() if name.startswith("worker")]
    decided = [1000 * quantile(pages, "journey_outreach_seconds", q) for q in (0.5, 0.99)]
    ((asked, sent),) = ask(
        stack,
        """
        SELECT
            quantiles(0.5, 0.99)(toUnixTimestamp64Milli(decided_at)
                - toUnixTimestamp64Milli(requested_at)),
            quantiles(0.5, 0.99)(toUnixTimestamp64Milli(at) - toUnixTimestamp64Milli(decided_at))
        FROM outreach INNER JOIN (SELECT * FROM outreach_outcomes FINAL) AS ended
            USING (customer, decision_id)
        """,
    )
    told = [f"{name} p50 {p50:,.0f} p99 {p99:,.0f} ms" for name, (p50, p99) in (
        ("touchpoint to decision", decided), ("request to decision", asked),
        ("decision to sent", sent))]  # fmt: skip
    return f"{CUSTOMERS:,} customers, {BUDGET:,} called, in {took:.1f} s: " + "; ".join(told)
