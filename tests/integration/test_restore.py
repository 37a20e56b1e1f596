"""Database and Kafka lost, and brought back from a backup, as docs/deployment.md tells."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sinks.clickhouse import connect
from tests.integration.journey import COMMAND
from tests.integration.pipeline import PARTITIONS, Pipeline, pipeline, until
from tests.servers import running_clickhouse

pytestmark = pytest.mark.integration

AS_OF = "2026-11-22T00:00:00Z"


@contextmanager
def machine(folder: Path, backups: Path) -> Iterator[str]:
    """A ClickHouse of its own that may write backups; the URL of a database there."""
    folder.mkdir()
    config = folder / "config.xml"
    config.write_text(
        f"<clickhouse><backups><allowed_path>{backups}/</allowed_path></backups></clickhouse>"
    )
    with running_clickhouse(folder / "store", config) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/journey"


def verb(pipe: Pipeline, *words: str) -> subprocess.CompletedProcess[str]:
    given = {
        "JOURNEY_KAFKA": pipe.settings.kafka,
        "JOURNEY_CLICKHOUSE": pipe.settings.clickhouse.get_secret_value(),
        "JOURNEY_IDENTITY_KEY": "k",
        "JOURNEY_PARTITIONS": str(PARTITIONS),
        "JOURNEY_DATA": str(pipe.folder),
    }
    return subprocess.run(
        [COMMAND, *words], env=os.environ | given, capture_output=True, text=True, check=False
    )


def customers(pipe: Pipeline) -> list[dict[str, object]]:
    done = verb(pipe, "customers", "--as-of", AS_OF, "--json")
    assert done.returncode == 0, done.stderr
    return sorted(map(json.loads, done.stdout.splitlines()), key=lambda one: one["customer"])


def test_all_is_back_after_a_loss_of_database_and_kafka(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    place = f"File('{backups}/night')"
    with (
        machine(tmp_path / "first", backups) as url,
        pipeline(tmp_path / "first", url) as pipe,
    ):
        pipe.start("worker", "sink")
        pipe.send(200)
        pipe.assert_exact()
        assert verb(pipe, "identity", "link", "cookie:c-1", "cookie:c-2", "--reason", "w").stdout
        until(lambda: len(customers(pipe)) == 19, pipe.told)
        before = customers(pipe)
        client = connect(url)
        client.execute(f"BACKUP DATABASE journey TO {place}")
        client.disconnect()
    with (
        machine(tmp_path / "second", backups) as url,
        pipeline(tmp_path / "second", url, create=lambda url: restore(url, place)) as pipe,
    ):
        assert pipe.stored() == 200
        rebuilt = verb(pipe, "rebuild", "--yes")
        assert "state of 200 touchpoints rebuilt" in rebuilt.stdout, rebuilt.stderr
        pipe.start("worker", "sink")
        until(lambda: pipe.counted() == 200, pipe.told)
        until(lambda: verb(pipe, "reconcile", "--json").returncode == 0, pipe.told)
        assert customers(pipe) == before
        # State is the workers' again, not only the tables': it knows what it has counted.
        pipe.resume(100)
        pipe.send(150)
        pipe.assert_exact()
        until(lambda: pipe.metric("journey_duplicates_total", "worker") == 100, pipe.told)
        assert (pipe.stored(), pipe.counted()) == (250, 250)


def restore(url: str, place: str) -> None:
    client = connect(url, database="default")
    client.execute(f"RESTORE DATABASE journey FROM {place}")
    client.disconnect()
