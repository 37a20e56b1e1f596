"""`journey rescore`: another version's scores replaced in the ledger, for good, and then live."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from schemas.outcome import JourneyStep
from sinks import rescore as rescoring
from sinks.rescore import rescore, stale
from sinks.rows import TOUCHPOINTS
from sinks.shards import rows_of
from sinks.writer import ClickHouseWriter
from streams.core.sentiment import VERSION, score
from tests.integration.journey import answer, journey, running, write_ndjson
from tests.sink_records import step
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

NOW = 1_795_000_000_000
ANGRY, PLEASED = "این خدمات افتضاح است", "Great service, thank you"
SCORES = "SELECT anchor, text, sentiment, distress, scorer FROM touchpoints FINAL ORDER BY anchor"


@pytest.fixture
def client(database: Client) -> Client:
    return database


def said(number: int, text: str, scorer: str = "0-old", **changes: Any) -> JourneyStep:
    changes = {"text": text, "scorer": scorer, "sentiment": 7, "language": "und"} | changes
    return step(f"cookie:{number:05}", 1_000 * number, number, **changes)


def store(client: Client, steps: list[JourneyStep]) -> None:
    ClickHouseWriter(client).insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps))


def ignore(_texts: int) -> None:
    return None


def test_only_what_another_version_scored_is_scored_again(client: Client) -> None:
    kept = said(3, PLEASED, VERSION, sentiment=5)
    rich = {"fields": {"resolved": "false"}, "amount_minor": 9, "properties": '{"a":1}'}
    store(client, [said(1, ANGRY, **rich), said(2, PLEASED), kept, step("cookie:00004", 4)])
    before = client.execute(
        "SELECT * EXCEPT (language, sentiment, distress, scorer, rescored_at) "
        "FROM touchpoints FINAL ORDER BY anchor"
    )
    assert stale(client) == 2
    seen: list[int] = []
    assert rescore(client, NOW, seen.append) == rescoring.Rescored(2, 2)
    assert seen == [2]
    angry, pleased = score(ANGRY, "und"), score(PLEASED, "und")
    assert client.execute(SCORES) == [
        ("cookie:00001", ANGRY, angry.score, angry.distress, VERSION),
        ("cookie:00002", PLEASED, pleased.score, pleased.distress, VERSION),
        ("cookie:00003", PLEASED, 5, 0, VERSION),
        ("cookie:00004", "", 0, 0, ""),
    ]
    assert before == client.execute(
        "SELECT * EXCEPT (language, sentiment, distress, scorer, rescored_at) "
        "FROM touchpoints FINAL ORDER BY anchor"
    ), "everything else stays"
    assert stale(client) == 0
    assert rescore(client, NOW + 1, ignore) == rescoring.Rescored()


def test_a_replay_by_the_sink_does_not_undo_it(client: Client) -> None:
    old = [said(number, ANGRY) for number in range(20)]
    store(client, old)
    rescore(client, NOW, ignore)
    rescored = client.execute(SCORES)
    store(client, old)
    assert client.execute(SCORES) == rescored
    client.execute(f"OPTIMIZE TABLE {rows_of(client, 'touchpoints')} FINAL")
    assert client.execute(SCORES) == rescored
    assert client.execute("SELECT count() FROM touchpoints") == [(20,)]


def test_of_two_rescorings_the_later_stands(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(client, [said(1, ANGRY)])
    monkeypatch.setattr(rescoring, "VERSION", "1-before")
    rescore(client, NOW, ignore)
    monkeypatch.undo()
    assert stale(client) == 1
    rescore(client, NOW + 1, ignore)
    assert [row[-1] for row in client.execute(SCORES)] == [VERSION]


def test_stopped_half_way_it_does_the_rest(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped(Exception):
        pass

    def stop_at(most: int) -> Callable[[int], None]:
        def progress(texts: int) -> None:
            if texts >= most:
                raise Stopped

        return progress

    monkeypatch.setattr(rescoring, "BATCH", 7)
    store(client, [said(number, ANGRY) for number in range(30)])
    with pytest.raises(Stopped):
        rescore(client, NOW, stop_at(14))
    assert stale(client) == 16
    assert rescore(client, NOW + 1, ignore).texts == 16
    assert stale(client) == 0


@pytest.mark.broker
def test_live_state_follows_at_the_next_start(tmp_path: Path) -> None:
    told = [
        touchpoint(1, channel="chat", type="message", direction="inbound", text=ANGRY),
        touchpoint(2, channel="chat", type="message", direction="inbound", text="سلام"),
    ]
    for number, each in enumerate(told):
        each["occurred_at"] = f"2026-11-2{number}T10:00:00Z"
    file = write_ndjson(tmp_path / "told.ndjson", told)
    data = tmp_path / "stack"
    who = ("customer", "cookie:c-1", "--as-of", "2026-11-21")
    with running(data, "up") as first:
        answer(data, "import", str(file), "--wait")
        present = answer(data, *who)
        assert present["sentiment"] < -100
        client = first.clickhouse()
        # As if an older scorer had scored the ledger.
        client.execute(
            "INSERT INTO touchpoints SELECT * REPLACE (0 AS sentiment, 0 AS distress, "
            "'0-old' AS scorer) FROM touchpoints FINAL WHERE text != ''"
        )
        client.disconnect()
        first.end(signal.SIGINT)
    with running(data, "up", "--rebuild") as second:
        assert answer(data, *who)["sentiment"] == 0
        done = journey(data, "rescore")
        assert done.returncode == 0, done.stderr
        assert "2 texts rescored" in done.stdout
        assert "live state has the old scores" in done.stdout
        second.end(signal.SIGINT)
    with running(data, "up", "--rebuild") as third:
        assert answer(data, *who) | {"as_of": 0} == present | {"as_of": 0}
        third.end(signal.SIGINT)
