"""`journey topics` and `journey setup` against a broker: declared once, compared, set back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import ConfigResource, NewTopic

from schemas.settings import Settings
from schemas.topics import OUTREACH, TOPICS, TOUCHPOINTS
from streams.cluster import administer, declare, is_empty
from streams.declaration import Difference, differences, examine, set_back
from tests.integration.journey import journey

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(broker_port: int) -> Settings:
    return Settings(kafka=f"127.0.0.1:{broker_port}", partitions=3)


@pytest.fixture
def data(settings: Settings, tmp_path: Path) -> Path:
    """A folder by which `journey` finds the broker."""
    recorded = {"kafka": settings.kafka, "partitions": settings.partitions}
    (tmp_path / "stack.json").write_text(json.dumps({"settings": recorded}))
    return tmp_path


def told(data: Path, *options: str) -> tuple[int, dict[str, Any]]:
    done = journey(data, "topics", "--json", *options)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    return done.returncode, {each["topic"]: each for each in report["topics"]}


def test_topics_are_declared_once(data: Path, settings: Settings) -> None:
    code, before = told(data, "--check")
    assert code == 1
    assert {each["partitions"] for each in before.values()} == {0}
    code, first = told(data)
    assert code == 0, first
    assert all(each["created"] for each in first.values())
    assert {name: each["partitions"] for name, each in first.items()} == {
        topic.name: topic.partitions or 3 for topic in TOPICS
    }
    assert {name: each["config"] for name, each in first.items()} == {
        topic.name: topic.config(1) for topic in TOPICS
    }
    code, second = told(data)
    assert code == 0
    assert not any(each["created"] for each in second.values())
    assert declare(settings) == []
    assert is_empty(settings)


def test_what_differs_is_named_and_options_are_set_back(data: Path, settings: Settings) -> None:
    with administer(settings) as admin:
        admin.create_topics([NewTopic(OUTREACH.name, 2, 1, topic_configs=OUTREACH.config(1))])
    declare(settings)
    shorter = {"retention.ms": "60000"}
    with administer(settings) as admin:
        admin.alter_configs([ConfigResource("TOPIC", TOUCHPOINTS.name, shorter)])
    retention = {"name": "retention.ms", "declared": "604800000", "found": "60000"}
    partitions = {"name": "partitions", "declared": "1", "found": "2"}
    code, found = told(data, "--check")
    assert code == 1
    assert {name: each["differences"] for name, each in found.items() if each["differences"]} == {
        TOUCHPOINTS.name: [retention],
        OUTREACH.name: [partitions],
    }
    done = journey(data, "topics", "--apply")
    assert done.returncode == 1
    assert "outreach: partitions is 2, declared 1\nThe number of partitions is not" in done.stdout
    assert "retention.ms" not in done.stdout
    assert differences(examine(settings), settings) == [Difference(OUTREACH.name, **partitions)]


def test_more_replicas_want_more_of_them_in_sync(settings: Settings) -> None:
    """Declared for three replicas, compared with what a cluster of one broker has."""
    declare(settings)
    wanted = settings.model_copy(update={"replication": 3})
    found = differences(examine(settings), wanted)
    assert {(each.name, each.declared, each.found) for each in found} == {
        ("replicas", "3", "1"),
        ("min.insync.replicas", "2", "1"),
    }
    set_back(wanted, found)
    assert {each.name for each in differences(examine(settings), wanted)} == {"replicas"}
