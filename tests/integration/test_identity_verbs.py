"""Customers shown, joined and separated by an operator; what then becomes of their history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.local.stack import Stack
from sinks.clickhouse import connect
from tests.integration.journey import answer, journey, write_ndjson
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

AS_OF = "2026-11-22T00:00:00Z"
FUNNEL = ("web:product_view[product=IDV]", "order:placed[order=IDV-1]", "--window", "30d")
PHONE = "0912 700 00 01"


def told(n: int, what: str, *identifiers: str, **fields: Any) -> dict[str, Any]:
    channel, _, type_ = what.partition(":")
    names = [dict(zip(("kind", "value"), i.split(":", 1), strict=True)) for i in identifiers]
    at = f"2026-11-{n:02}T08:30:00Z"
    return touchpoint(
        7_000 + n, occurred_at=at, channel=channel, type=type_, identifiers=names, **fields
    )


STORY = [
    # A visitor looks, and somebody orders by phone: the same person, which nothing tells.
    told(1, "web:product_view", "cookie:idv-look", product="IDV"),
    told(2, "order:placed", f"phone:{PHONE}", "cookie:idv-shop", order="IDV-1"),
    told(3, "call_center:call", f"phone:{PHONE}", text="my order is late, answer me!"),
    # A couple: one phone number, one tablet, two customers.
    told(4, "web:sign_in", "customer:idv-sara", "phone:02188001122", "device:idv-tablet"),
    told(5, "web:sign_in", "customer:idv-omid", "phone:021 8800 1122", "device:idv-tablet"),
    told(6, "web:page_view", "device:idv-tablet"),
]


@pytest.fixture(scope="module")
def data(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the shared stack, which knows the story."""
    file = write_ndjson(tmp_path_factory.mktemp("identity") / "story.ndjson", STORY)
    assert answer(stack.settings.data, "import", str(file), "--wait")["published"] == len(STORY)
    return stack.settings.data


def mine(data: Path) -> list[str]:
    """Lines of the story's customers, byte for byte."""
    done = journey(data, "customers", "--as-of", AS_OF, "--json")
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if "idv-" in line]


def funnel(data: Path) -> list[int]:
    return [step["customers"] for step in answer(data, "funnel", *FUNNEL)]


def moments(data: Path, name: str) -> list[str]:
    found = answer(data, "customer", name, "--as-of", AS_OF)
    return [m["channel"] for session in found["sessions"] for m in session["moments"]]


def enter(data: Path, verb: str, a: str, b: str) -> Any:
    reason = ("--reason", f"{verb} for a test", "--operator", "zahra")
    return answer(data, "identity", verb, a, b, *reason)


def refusal(data: Path, *arguments: str) -> str:
    done = journey(data, "identity", *arguments)
    assert done.returncode != 0
    return done.stderr


def conflicts(data: Path) -> list[dict[str, Any]]:
    done = journey(data, "identity", "conflicts", "--json")
    assert done.returncode == 0, done.stderr
    return [c for line in done.stdout.splitlines() if "idv-" in str(c := json.loads(line))]


def test_show_tells_what_holds_a_customer_together(data: Path) -> None:
    shown = answer(data, "identity", "show", PHONE)
    customer = shown["customer"]
    assert customer.startswith("phone:h-")
    assert shown["identifiers"] == [customer, "cookie:idv-shop"]
    (link,) = shown["links"]
    assert {link["a"], link["b"]} == {customer, "cookie:idv-shop"}
    assert (link["source"], link["action"]) == ("order", "seen")
    assert link["event_id"] == STORY[1]["event_id"]
    table = journey(data, "identity", "show", PHONE)
    assert link["event_id"] in table.stdout
    assert "7000001" not in table.stdout + json.dumps(shown), "a phone number in the clear"


def test_a_shared_tablet_and_a_shared_phone_are_told_apart(data: Path) -> None:
    (conflict,) = conflicts(data)
    assert {conflict["customer_a"], conflict["customer_b"]} == {
        "customer:idv-omid",
        "customer:idv-sara",
    }
    assert conflict["link"]["event_id"] == STORY[4]["event_id"], "the phone was Sara's first"
    shown = answer(data, "identity", "show", "idv-omid")
    assert shown["conflicts"] == [conflict]
    why = "shared by customer:idv-omid, customer:idv-sara"
    assert shown["not_bridging"] == {"device:idv-tablet": why}
    assert why in journey(data, "identity", "show", "device:idv-tablet").stdout
    assert "idv-sara" in journey(data, "identity", "conflicts").stdout


def test_an_operator_settles_a_conflict_and_takes_it_back(data: Path) -> None:
    before, couple = mine(data), ("customer:idv-sara", "customer:idv-omid")
    assert enter(data, "link", *couple)["customers"] == ["customer:idv-omid"]
    assert conflicts(data) == []
    (one,) = [json.loads(line) for line in mine(data) if "idv-sara" in line]
    assert one["touchpoints"] == 3, "the tablet is theirs alone now"
    shown = answer(data, "identity", "show", "idv-sara")
    (joined,) = [link for link in shown["links"] if link["action"] == "join"]
    assert (joined["source"], joined["reason"]) == ("zahra", "link for a test")
    assert sorted(enter(data, "unlink", *couple)["customers"]) == sorted(couple)
    assert mine(data) == before
    assert len(conflicts(data)) == 1


def test_history_follows_an_operators_link_at_the_next_query_and_back(data: Path) -> None:
    before = mine(data)
    assert funnel(data) == [1, 0]
    assert moments(data, PHONE) == ["order", "call_center"]
    assert len(enter(data, "link", "cookie:idv-look", PHONE)["customers"]) == 1
    assert funnel(data) == [1, 1]
    assert moments(data, PHONE) == moments(data, "idv-look") == ["web", "order", "call_center"]
    assert len(mine(data)) == len(before) - 1
    assert len(enter(data, "unlink", PHONE, "cookie:idv-look")["customers"]) == 2
    assert funnel(data) == [1, 0]
    assert moments(data, PHONE) == ["order", "call_center"]
    assert mine(data) == before


def test_a_link_that_was_seen_is_withdrawn_and_the_evidence_stays(data: Path, stack: Stack) -> None:
    before = mine(data)
    pair = ("cookie:idv-shop", PHONE)
    assert len(enter(data, "unlink", *pair)["customers"]) == 2
    shown = answer(data, "identity", "show", PHONE)
    assert shown["identifiers"] == [shown["customer"]]
    (entry,) = [entry for entry in shown["withdrawn"] if "cookie:idv-shop" in entry.values()]
    assert (entry["action"], entry["reason"]) == ("withdraw", "unlink for a test")
    enter(data, "link", *pair)
    assert mine(data) == before
    client = connect(stack.settings.clickhouse.get_secret_value())
    rows = client.execute(
        "SELECT action, reason FROM identity_links FINAL "
        "WHERE a = 'cookie:idv-shop' AND b = %(b)s ORDER BY action",
        {"b": shown["customer"]},
    )
    client.disconnect()
    assert rows == [("join", "link for a test"), ("seen", "")]


def test_what_cannot_be_done_is_refused_in_one_line(data: Path) -> None:
    why = ("--reason", "x")
    unknown = refusal(data, "link", "idv-nobody", PHONE, *why)
    assert "'idv-nobody' is not known" in unknown
    assert "name two identifiers" in refusal(data, "link", PHONE, PHONE, *why)
    assert "are not linked" in refusal(data, "unlink", "cookie:idv-look", PHONE, *why)
    assert "--reason is empty" in refusal(data, "link", "idv-look", PHONE, "--reason", " ")
    assert "'--reason'" in refusal(data, "link", "idv-look", PHONE)
    enter(data, "link", "cookie:idv-look", "cookie:idv-shop")
    indirect = refusal(data, "unlink", "cookie:idv-look", PHONE, *why)
    assert "not linked directly: unlink one of" in indirect
    assert "cookie:idv-look cookie:idv-shop" in indirect
    enter(data, "unlink", "cookie:idv-look", "cookie:idv-shop")
