"""Dead letters as an operator meets them: told, mended in a file, sent again, counted once."""

from __future__ import annotations

import json
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from clickhouse_driver import Client

from commands.send import wait_for_pipeline
from deploy.local.stack import Stack
from producers.publisher import Publisher
from sinks import replays
from sinks.clickhouse import connect
from streams.core.journey import MAX_SEEN
from tests.integration.journey import answer, journey, write_ndjson
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

WHEN = "2025-03-10T08:30:00Z"


def called(name: str) -> list[dict[str, str]]:
    return [{"kind": "cookie", "value": f"dead-{name}"}]


def run(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return journey(stack.settings.data, "dead", *arguments)


def listed(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    done = run(stack, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def imported(stack: Stack, path: Path, lines: list[dict[str, Any] | bytes]) -> str:
    """Import lines of which some are bad; the topic of their letters."""
    write_ndjson(path, lines)
    answer(stack.settings.data, "import", str(path), "--wait")
    return f"import:{path.name}"


def counted(stack: Stack, name: str) -> tuple[int, int]:
    """Touchpoints of a cookie: as the workers counted them, and in the ledger."""
    client = connect(stack.settings.clickhouse.get_secret_value())
    anchor = {"anchor": f"cookie:dead-{name}"}
    live = client.execute("SELECT max(n) FROM parts WHERE anchor = %(anchor)s", anchor)
    rows = client.execute("SELECT count() FROM touchpoints FINAL WHERE anchor = %(anchor)s", anchor)
    client.disconnect()
    return live[0][0], rows[0][0]


@pytest.fixture
def client(stack: Stack) -> Client:
    return connect(stack.settings.clickhouse.get_secret_value())


def test_letters_are_counted_by_reason_and_each_can_be_looked_at(
    stack: Stack, tmp_path: Path
) -> None:
    hostile = "blu\u202ee \x1b[2J می‌شود"
    lines: list[dict[str, Any] | bytes] = [
        b"\xff\x1b[31m not json",
        touchpoint(1, occurred_at=WHEN, colour=hostile),
        touchpoint(2, occurred_at="2025-03-10T08:30:00"),
        touchpoint(3, occurred_at="2025-03-11"),
        touchpoint(4, occurred_at=WHEN, identifiers=called("looked-at")),
    ]
    topic = imported(stack, tmp_path / "told.ndjson", lines)
    imported(stack, tmp_path / "told.ndjson", lines)  # the same letters, not new ones
    found = {letter["id"].split(":")[3]: letter for letter in listed(stack, "--topic", topic)}
    assert {line: letter["reason"] for line, letter in found.items()} == {
        "1": "malformed_json",
        "2": "unknown_field",
        "3": "bad_time",
        "4": "bad_time",
    }
    assert b64decode(found["1"]["raw_base64"]) == lines[0]
    assert json.loads(found["2"]["raw"])["colour"] == hostile
    assert [r["id"] for r in listed(stack, "--topic", topic, "--reason", "unknown_field")] == [
        found["2"]["id"]
    ]
    assert len(listed(stack, "--topic", topic, "--limit", "3")) == 3
    assert len(listed(stack, "--topic", topic, "--since", "1h")) == 4
    assert listed(stack, "--topic", topic, "--since", "2999-01-01") == []
    table = run(stack, "list", "--topic", topic)
    assert "bad_time 2, malformed_json 1, unknown_field 1" in table.stdout
    one = run(stack, "show", found["2"]["id"])
    assert "colour" in one.stdout
    assert "می‌شود" in one.stdout
    for printed in (table.stdout, one.stdout, run(stack, "show", found["1"]["id"]).stdout):
        assert not {"\x1b", "\u202e"} & set(printed)
    assert answer(stack.settings.data, "dead", "show", found["2"]["id"]) == found["2"]
    unknown = run(stack, "show", "touchpoints:0:1:00000000")
    assert unknown.returncode == 1
    assert len(unknown.stderr.splitlines()) == 1


def test_letters_are_mended_in_a_file_and_counted_once(stack: Stack, tmp_path: Path) -> None:
    bad = [
        touchpoint(10 + n, occurred_at="2025-03-10T08:30:00", identifiers=called("mended"))
        for n in range(5)
    ]
    bad[4].pop("event_id")
    topic = imported(stack, tmp_path / "mended.ndjson", list(bad))
    as_it_is = run(stack, "replay", "--topic", topic)
    assert as_it_is.returncode == 1
    assert "5 of 5 letters would be rejected again, so nothing was sent" in as_it_is.stderr
    assert "occurred_at: has no zone: add one" in as_it_is.stderr
    letters = listed(stack, "--topic", topic)
    for n, letter in enumerate(letters):
        given = json.loads(letter["raw"])
        if n != 2:
            given["occurred_at"] = WHEN
        letter["raw"] = given if n % 2 else json.dumps(given)
    path = tmp_path / "letters.jsonl"
    path.write_text("\n".join(map(json.dumps, letters)))
    refused = run(stack, "replay", "--edit", str(path))
    assert refused.returncode == 1
    assert f"{path}:3: occurred_at: has no zone" in refused.stderr
    assert counted(stack, "mended") == (0, 0)
    again = ("dead", "replay", "--edit", str(path), "--wait")
    assert answer(stack.settings.data, *again, "--partial")["replayed"] == 4
    assert counted(stack, "mended") == (4, 4)
    path.write_text(path.read_text().replace('08:30:00\\"', '08:30:00Z\\"'))
    report = answer(stack.settings.data, *again)
    assert (report["replayed"], report["already_replayed"]) == (1, 4)
    assert answer(stack.settings.data, *again)["already_replayed"] == 5
    assert counted(stack, "mended") == (5, 5)
    assert listed(stack, "--topic", topic) == []
    gone = listed(stack, "--topic", topic, "--all")
    assert len(gone) == 5
    assert all(letter["replayed_at"] for letter in gone)


def test_letters_of_the_topic_go_again_as_they_are(stack: Stack, client: Client) -> None:
    raw = msgspec.json.encode(touchpoint(30, occurred_at=WHEN, identifiers=called("as-it-is")))
    early = raw.replace(WHEN.encode(), b"2125-03-10T08:30:00Z")
    with Publisher(stack.settings) as publisher:
        publisher.publish(early, "cookie:dead-as-it-is")
    wait_for_pipeline(stack.settings)
    mine = [x for x in listed(stack, "--topic", "touchpoints") if x["raw"] == early.decode()]
    (letter,) = mine
    assert letter["reason"] == "bad_time"
    # As after an upgrade of the contract: what is stored is what a worker takes now.
    client.execute(
        "ALTER TABLE dead_letters UPDATE raw = %(raw)s WHERE id = %(id)s",
        {"raw": raw.decode(), "id": letter["id"]},
        settings={"mutations_sync": 2},
    )
    replayed = ("dead", "replay", "--reason", "bad_time", "--topic", "touchpoints", "--partial")
    assert answer(stack.settings.data, *replayed, "--dry-run")["replayed"] == 1
    assert counted(stack, "as-it-is") == (0, 0)
    assert answer(stack.settings.data, *replayed, "--wait")["replayed"] == 1
    assert counted(stack, "as-it-is") == (1, 1)


def test_a_replay_that_broke_off_counts_once_however_late_it_is_repeated(
    stack: Stack, tmp_path: Path, client: Client
) -> None:
    bad = touchpoint(40, occurred_at="2025-03-10T08:30:00", identifiers=called("late"))
    topic = imported(stack, tmp_path / "late.ndjson", [bad])
    (letter,) = listed(stack, "--topic", topic)
    path = tmp_path / "late.jsonl"
    letter["raw"] = {**bad, "occurred_at": WHEN}
    path.write_text(json.dumps(letter))
    again = ("dead", "replay", "--edit", str(path), "--wait")
    assert answer(stack.settings.data, *again)["replayed"] == 1
    # What a crash after the sending leaves: the record before it, and not the one after.
    client.execute(
        "ALTER TABLE dead_letter_replays DELETE WHERE id = %(id)s",
        {"id": letter["id"]},
        settings={"mutations_sync": 2},
    )
    replays.begin(client, {letter["id"]: UUID(bad["event_id"])}, time.time_ns() // 1_000_000)
    # The workers have forgotten the event id when it comes again.
    others = [
        touchpoint(1_000 + n, occurred_at=WHEN, identifiers=called("late"))
        for n in range(MAX_SEEN + 1)
    ]
    answer(
        stack.settings.data,
        *("import", str(write_ndjson(tmp_path / "others.ndjson", others)), "--wait"),
    )
    assert len(listed(stack, "--topic", topic)) == 1
    letter["raw"]["identifiers"] = called("elsewhere")  # edited once more, even
    path.write_text(json.dumps(letter))
    report = answer(stack.settings.data, *again)
    assert (report["replayed"], report["already_stored"]) == (0, 1)
    assert counted(stack, "late") == (MAX_SEEN + 2, MAX_SEEN + 2)
    assert counted(stack, "elsewhere") == (0, 0)
    assert listed(stack, "--topic", topic) == []
