"""The verbs that send and ask, as commands, against one running stack."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from sinks.clickhouse import connect
from tests.integration.journey import answer, journey, write_ndjson
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

AS_OF = "2025-03-22T00:00:00Z"
COOKIE = {"kind": "cookie", "value": "verbs-1"}
PHONE = {"kind": "phone", "value": "+98 912 345 6789"}
EMAIL = {"kind": "email", "value": "Mina@Example.com"}


def story() -> list[dict[str, Any]]:
    """Mina looks, is known by her phone later, buys and complains; another visitor only looks."""
    other = [{"kind": "cookie", "value": "verbs-2"}]
    moments: list[tuple[str, str, list[dict[str, str]], dict[str, Any]]] = [
        ("web", "product_view", [COOKIE], {"product": "P-7"}),
        ("web", "add_to_cart", [COOKIE], {"product": "P-7"}),
        ("web", "sign_in", [COOKIE, PHONE], {}),
        ("order", "placed", [PHONE, EMAIL], {"order": "O-1", "amount_minor": 5_000}),
        ("call_center", "call", [PHONE], {"text": "سفارش من نرسیده و خیلی ناراحتم"}),
        ("web", "product_view", other, {"product": "P-8"}),
    ]
    return [
        touchpoint(
            9_000 + n,
            occurred_at=f"2025-03-1{n}T08:30:00+03:30",
            channel=channel,
            type=type_,
            identifiers=names,
            **fields,
        )
        for n, (channel, type_, names, fields) in enumerate(moments)
    ]


BAD = (
    b"not json",
    b'{"channel": "telepathy"}',
    json.dumps(
        touchpoint(9_100, occurred_at="2025-03-10T00:00:00Z", colour="blue", identifiers=[PHONE])
    ).encode(),
)


@pytest.fixture(scope="module")
def imported(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, Path, Any]:
    """The story with three bad lines in between, imported: the stack, the file, the report."""
    path = tmp_path_factory.mktemp("verbs") / "story.ndjson"
    good = story()
    write_ndjson(path, [*good[:2], BAD[0], *good[2:4], BAD[1], BAD[2], *good[4:]])
    done = journey(stack.settings.data, "import", str(path), "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        f"{path}:{number}" for number in (3, 6, 7)
    ]
    return stack, path, json.loads(done.stdout)


def ask(stack: Stack, *arguments: str) -> Any:
    return answer(stack.settings.data, *arguments)


def mine(stack: Stack) -> list[dict[str, Any]]:
    """The story's customers: others share the stack."""
    done = journey(stack.settings.data, "customers", "--as-of", AS_OF, "--json")
    assert done.returncode == 0, done.stderr
    everyone = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["customer"] for one in everyone] == sorted(one["customer"] for one in everyone)
    return [one for one in everyone if any("cookie:verbs-" in name for name in one["identifiers"])]


def test_an_import_counts_and_bad_lines_become_dead_letters(
    imported: tuple[Stack, Path, Any],
) -> None:
    stack, path, report = imported
    reasons = {"malformed_json": 1, "unknown_channel": 1, "unknown_field": 1}
    assert report.pop("seconds") > 0
    assert report == {"lines": 9, "published": 6, "unique": 6, "rejected": reasons}
    client = connect(stack.settings.clickhouse.get_secret_value())
    rows = client.execute(
        "SELECT offset, reason, field, raw FROM dead_letters FINAL WHERE topic = %(t)s ORDER BY 1",
        {"t": f"import:{path.name}"},
    )
    client.disconnect()
    assert [row[:3] for row in rows] == [
        (3, "malformed_json", ""),
        (6, "unknown_channel", "channel"),
        (7, "unknown_field", "colour"),
    ]
    assert rows[0][3] in (BAD[0], BAD[0].decode(), base64.b64encode(BAD[0]).decode())
    assert "912" not in str(rows[2][3]), "a phone number in the clear"


def test_the_stack_is_ready_and_says_what_it_has(imported: tuple[Stack, Path, Any]) -> None:
    told = ask(imported[0], "status")
    assert told["ready"] is True
    assert told["touchpoints"] >= 6
    assert told["dead_letters"]["unknown_field"] >= 1
    assert set(told["processes"]) == {"broker", "clickhouse", "sink", "worker-1"}
    assert {row["topic"]: row["records"] for row in told["lag"]}["touchpoints"] == 0
    table = journey(imported[0].settings.data, "status")
    assert table.returncode == 0
    assert "ready" in table.stdout


def test_a_funnel_counts_customers_and_not_cookies(imported: tuple[Stack, Path, Any]) -> None:
    steps = ["web:product_view[product=P-7]", "order:placed[order=O-1]"]
    assert ask(imported[0], "funnel", *steps) == [
        {"step": steps[0], "customers": 1},
        {"step": steps[1], "customers": 1},
    ]
    assert [step["customers"] for step in ask(imported[0], "funnel", *steps, "--window", "1d")] == [
        1,
        0,
    ]
    wrong = journey(imported[0].settings.data, "funnel", "web")
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "typed",
    ["۰۹۱۲ ۳۴۵ ۶۷۸۹", "phone:+989123456789", "mina@example.com", "cookie:verbs-1", "verbs-1"],
)
def test_a_customer_is_found_by_what_people_type(
    imported: tuple[Stack, Path, Any], typed: str
) -> None:
    found = ask(imported[0], "customer", typed, "--as-of", AS_OF)
    assert found["customer"].startswith("email:")
    assert "mina" not in json.dumps(found).lower()
    assert found["touchpoints"] == 5
    assert "cookie:verbs-1" in found["identifiers"]
    assert sum(len(session["moments"]) for session in found["sessions"]) == 5
    assert found["distress"] > 0
    assert found["reasons"]


def test_nobody_is_found_by_what_nobody_is_known_by(imported: tuple[Stack, Path, Any]) -> None:
    done = journey(imported[0].settings.data, "customer", "09120000000")
    assert done.returncode == 1
    assert done.stderr.startswith("journey: '09120000000' is not known")


def test_customers_are_sorted_and_the_same_bytes_each_time(
    imported: tuple[Stack, Path, Any],
) -> None:
    first = mine(imported[0])
    assert [set(one) for one in first] == [
        {"customer", "identifiers", "touchpoints", "health", "sentiment", "distress"}
    ] * 2
    assert sorted(one["touchpoints"] for one in first) == [1, 5]
    assert mine(imported[0]) == first


def test_a_file_that_comes_again_changes_nothing(imported: tuple[Stack, Path, Any]) -> None:
    stack, path, _ = imported
    before = mine(stack), ask(stack, "status")["touchpoints"]
    assert ask(stack, "import", str(path), "--wait")["published"] == 6
    assert (mine(stack), ask(stack, "status")["touchpoints"]) == before
