"""What the one ddl becomes on a cluster."""

from __future__ import annotations

import re
from string import Template

import pytest

from sinks.migrate import _RECORD, FOLDER, statements
from sinks.rows import TABLES
from sinks.shards import LOCAL, SHARDED, UnspreadableStatement, spread

CREATE = "CREATE TABLE IF NOT EXISTS "


def rendered() -> list[str]:
    values = {"database": "journey", "user": "u", "password": "p"}
    sources = [
        Template(path.read_text()).substitute(values) for path in sorted(FOLDER.glob("*.sql"))
    ]
    found = [_RECORD, *(each for source in sources for each in statements(source))]
    return [made for each in found for made in spread(each, "main", "journey")]


def test_a_sharded_table_is_one_of_replicas_on_each_shard_and_one_that_asks_them_all() -> None:
    local, distributed = spread(
        "-- why; how\nCREATE TABLE IF NOT EXISTS parts\n(\n    anchor String\n)\n"
        "ENGINE = ReplacingMergeTree(version)\nORDER BY anchor",
        "main",
        "journey",
    )
    assert local == (
        "CREATE TABLE IF NOT EXISTS parts_local ON CLUSTER `main`\n(\n    anchor String\n)\n"
        "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', "
        "'{shard}-{replica}', version)\nORDER BY anchor"
    )
    assert distributed == (
        "CREATE TABLE IF NOT EXISTS parts ON CLUSTER `main` AS parts_local\n"
        "ENGINE = Distributed('main', 'journey', 'parts_local', sipHash64(anchor))"
    )


def test_any_other_table_stands_whole_on_every_server() -> None:
    (made,) = spread(
        "CREATE TABLE IF NOT EXISTS erasing (a UUID) ENGINE = ReplacingMergeTree ORDER BY a",
        "main",
        "journey",
    )
    assert made == (
        "CREATE TABLE IF NOT EXISTS erasing ON CLUSTER `main`\n(a UUID) "
        "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/all', "
        "'{shard}-{replica}') ORDER BY a"
    )


def test_a_change_of_columns_reaches_the_rows_first_and_then_those_who_ask() -> None:
    change = "ADD COLUMN IF NOT EXISTS x UInt8"
    assert spread(f"ALTER TABLE health\n    {change}", "main", "journey") == [
        f"ALTER TABLE health_local ON CLUSTER `main`\n    {change}",
        f"ALTER TABLE health ON CLUSTER `main`\n    {change}",
    ]
    index = "ADD INDEX IF NOT EXISTS i anchor TYPE minmax GRANULARITY 1"
    assert spread(f"ALTER TABLE parts\n    {index}", "main", "journey") == [
        f"ALTER TABLE parts_local ON CLUSTER `main`\n    {index}"
    ]
    # Its replicas, which are all servers, hear of it from the table itself.
    assert spread(f"ALTER TABLE erasures {change}", "main", "journey") == [
        f"ALTER TABLE erasures {change}"
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE x (a UInt8) ENGINE = MergeTree ORDER BY a",  # not twice
        "CREATE TABLE IF NOT EXISTS x (a UInt8) ENGINE = Memory",  # replicas would differ
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "RENAME TABLE parts TO parts_before",  # the table of replicas would keep its name
        "DROP TABLE IF EXISTS touchpoints",
        "OPTIMIZE TABLE parts",
        "ALTER TABLE parts ADD COLUMN x UInt8, ADD INDEX i x TYPE minmax",  # of two places
    ],
)
def test_what_is_of_no_known_form_is_refused(statement: str) -> None:
    with pytest.raises(UnspreadableStatement, match="sinks/shards"):
        spread(statement, "main", "journey")


def test_every_migration_can_be_spread_and_every_table_has_replicas() -> None:
    made = rendered()
    engines = [engine for each in made for engine in re.findall(r"ENGINE = (\w+)\(", each)]
    assert set(engines) == {"ReplicatedReplacingMergeTree", "Distributed"}
    names = {each.removeprefix(CREATE).split()[0] for each in made if each.startswith(CREATE)}
    assert {table.name for table in TABLES} <= names
    assert {f"{table}{LOCAL}" for table in SHARDED} <= names
    # Whatever is not a change of a table's own is done on every server.
    alone = [each for each in made if "ON CLUSTER `main`" not in each]
    assert {each.split()[0] for each in alone} <= {"INSERT", "ALTER"}


@pytest.mark.parametrize("table", SHARDED)
def test_rows_that_replace_each_other_are_on_one_shard(table: str) -> None:
    """The column that says which shard begins the key of replacement."""
    (local,) = [each for each in rendered() if each.startswith(f"{CREATE}{table}{LOCAL} ")]
    (key,) = re.findall(r"ORDER BY \(?(\w+)", local)
    assert key == SHARDED[table]
