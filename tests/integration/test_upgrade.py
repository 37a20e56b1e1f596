"""The next version's migration, applied while workers and sink of this one run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_driver import Client

from sinks.migrate import FOLDER, migrate
from sinks.shards import cluster_of
from tests.integration.pipeline import Pipeline, pipeline

pytestmark = pytest.mark.integration

# One of each kind that docs/deployment.md allows.
NEXT = """
-- A column with a default, which writers of before leave out; and one that is computed.
ALTER TABLE touchpoints
    ADD COLUMN IF NOT EXISTS region LowCardinality(String) DEFAULT 'unknown',
    ADD COLUMN IF NOT EXISTS hour UInt8 MATERIALIZED toHour(occurred_at, 'UTC');

ALTER TABLE identity_members
    ADD COLUMN IF NOT EXISTS confirmed Bool;

CREATE TABLE IF NOT EXISTS visits_of_day
(
    day    Date,
    visits UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY day;

CREATE OR REPLACE VIEW ledger AS
SELECT dictGetOrDefault('$database.customer_of', 'customer', anchor, anchor) AS customer, *
FROM touchpoints FINAL;
"""


@pytest.fixture
def pipe(tmp_path: Path, database_url: str) -> Iterator[Pipeline]:
    folder = tmp_path / "stack"
    folder.mkdir()
    with pipeline(folder, database_url, create=lambda _: None) as found:
        found.start("worker", "sink")
        found.send(100)
        found.assert_exact()
        yield found


def test_a_later_migration_while_touchpoints_flow(
    pipe: Pipeline, database: Client, tmp_path: Path
) -> None:
    later = tmp_path / "ddl"
    shutil.copytree(FOLDER, later)
    (later / "9001_next.sql").write_text(NEXT)
    for moment in range(10):
        pipe.send(50)
        if moment == 4:
            assert migrate(database, later, cluster_of(database)) == ["9001_next.sql"]
    pipe.assert_exact()
    assert pipe.never_ended()
    assert pipe.metric("journey_insert_errors_total", "sink") == 0
    # Rows of before the change and of after it, by a sink that knows nothing of the column.
    told = "SELECT region, hour, count() FROM touchpoints FINAL GROUP BY ALL"
    assert database.execute(told) == [("unknown", 8, 600)]
    assert database.execute("SELECT count(), uniqExact(customer) FROM ledger") == [(600, 20)]
    # One that starts now, as after a roll-back, writes too.
    pipe.parts["sink"].stop(10)
    pipe.start("sink")
    pipe.send(50)
    pipe.assert_exact()
