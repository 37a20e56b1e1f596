"""The whole pipeline on the tables of a cluster, both shards played by one engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from analytics.live import stored_parts
from analytics.replay import forget_state
from privacy.erasure import begin, complete
from privacy.person import counts, find_person
from sinks.clickhouse import connect, prepare
from sinks.migrate import FOLDER, MigrationError, migrate, statements
from sinks.repair import replace_members, replace_parts
from sinks.rows import TOUCHPOINTS
from sinks.shards import LOCAL, SHARDED, cluster_of, rows_of, spread
from sinks.writer import ClickHouseWriter, WriterUnavailable
from tests.integration.journey import COMMAND
from tests.integration.pipeline import Pipeline, pipeline, until
from tests.integration.two_shards import (
    CLUSTER,
    HALF,
    Client,
    connect_shards,
    prepare_shards,
)
from tests.sink_records import step

pytestmark = pytest.mark.integration


@pytest.fixture
def pipe(tmp_path: Path, shards_url: str) -> Iterator[Pipeline]:
    with pipeline(tmp_path, shards_url, create=prepare_shards) as found:
        found.start("worker", "sink")
        found.send(200)
        found.assert_exact()
        yield found


@pytest.fixture
def client(pipe: Pipeline) -> Iterator[Client]:
    found = connect_shards(pipe.settings.clickhouse.get_secret_value())
    yield found
    found.disconnect()


def reconcile(pipe: Pipeline) -> int:
    given = {
        "JOURNEY_KAFKA": pipe.settings.kafka,
        "JOURNEY_CLICKHOUSE": pipe.settings.clickhouse.get_secret_value(),
        "JOURNEY_IDENTITY_KEY": "k",
        "JOURNEY_DATA": str(pipe.folder),
    }
    done = subprocess.run([COMMAND, "reconcile", "--json"], env=os.environ | given, check=False)
    return done.returncode


def test_a_pipeline_on_shards_counts_erases_and_reconciles(pipe: Pipeline, client: Client) -> None:
    for table in ("touchpoints", "parts"):
        key = SHARDED[table]
        held = client.execute(
            f"SELECT shardNum(), uniqExact({key}), count() FROM {table} GROUP BY 1 ORDER BY 1"
        )
        assert [shard for shard, *_ in held] == [1, 2], table
        assert sum(keys for _, keys, _ in held) == 20, "a key is on one shard"
    assert cluster_of(client) == CLUSTER
    until(lambda: reconcile(pipe) == 0, pipe.told)  # once every customer is evaluated

    person = find_person(client, pipe.settings, "cookie:c-3")
    erasure, now = uuid4(), datetime.now(UTC)
    begin(client, erasure, person, now)
    receipt = complete(client, pipe.settings, erasure, now, lambda _: None)
    assert receipt.rows["touchpoints"] == 10
    assert set(counts(client, person).values()) == {0}
    assert (pipe.stored(), pipe.counted()) == (190, 190)
    assert reconcile(pipe) == 0

    parts = dict(stored_parts(client))
    taken = parts["cookie:c-5"]
    replace_parts(client, {"cookie:c-5": None})
    assert pipe.counted() == 180
    assert reconcile(pipe) == 1
    replace_parts(client, {"cookie:c-5": (taken.customer, taken.part)})
    replace_members(client, {"cookie:c-5": None})
    assert reconcile(pipe) == 0

    forget_state(client)
    assert pipe.counted() == 0
    assert pipe.stored() == 190


def test_an_insert_and_a_subquery_are_of_all_shards(clickhouse_url: str) -> None:
    """What one engine cannot show: rows would wait on the server that was told them."""
    client = connect(clickhouse_url.rpartition("/")[0] + "/default")
    asked = ("insert_distributed_sync", "distributed_product_mode", "insert_deduplicate")
    query = "SELECT name, value FROM system.settings WHERE name IN %(asked)s"
    assert dict(client.execute(query, {"asked": asked})) == {
        "insert_distributed_sync": "1",
        "distributed_product_mode": "global",
        "insert_deduplicate": "0",
    }
    client.disconnect()


def test_the_sink_waits_for_a_shard_that_is_away(shards_url: str) -> None:
    client = prepare_shards(shards_url, HALF)
    rows = TOUCHPOINTS.rows([step(f"cookie:{n}", 1_900_000_000_000, n) for n in range(20)])
    with pytest.raises(WriterUnavailable) as away:
        ClickHouseWriter(client).insert(TOUCHPOINTS, rows)
    assert away.value.reason == "279 ALL_CONNECTION_TRIES_FAILED"
    client.disconnect()


def test_a_database_stays_what_it_was_made_for(clickhouse_url: str, shards_url: str) -> None:
    prepare(clickhouse_url)
    client = connect(clickhouse_url)
    with pytest.raises(MigrationError, match=r"_CLUSTER is journey, .* for a single server"):
        migrate(client, cluster=CLUSTER)
    assert rows_of(client, "parts") == "parts"
    client.disconnect()
    client = prepare_shards(shards_url)
    with pytest.raises(MigrationError, match=r"_CLUSTER is not set, .* on the cluster journey"):
        migrate(client)
    client.disconnect()


def test_clickhouse_can_read_what_it_is_told_on_a_cluster(clickhouse_url: str) -> None:
    """Every statement as it is sent to a real cluster, by ClickHouse's own parser."""
    client = connect(clickhouse_url.rpartition("/")[0] + "/default")
    files = sorted(FOLDER.glob("*.sql"))
    sent = [
        made
        for file in files
        for statement in statements(file.read_text())
        for made in spread(statement, CLUSTER, "journey")
    ]
    on = f"ON CLUSTER `{CLUSTER}`"
    sent += [f"ALTER TABLE {table}{LOCAL} {on} DELETE WHERE x IN (SELECT 1)" for table in SHARDED]
    sent += [f"ALTER TABLE {table}{LOCAL} {on} DROP PARTITION ID '0'" for table in SHARDED]
    sent += [f"TRUNCATE TABLE parts{LOCAL} {on}", f"SYSTEM SYNC REPLICA {on} journey.parts{LOCAL}"]
    sent += [f"SYSTEM RELOAD DICTIONARY {on} journey.customer_of"]
    for statement in sent:
        (read,) = client.execute("SELECT formatQuery(%(sent)s)", {"sent": statement})[0]
        assert ("ON CLUSTER" in read) == ("ON CLUSTER" in statement), read
    client.disconnect()
