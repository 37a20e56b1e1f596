"""Where tables stand on a cluster: the one ddl made for shards and replicas, and asked of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from clickhouse_driver import Client

# table -> the column whose hash says which shard a row is on. It begins the table's key, so all
# rows that replace each other are on one shard, and FINAL is exact there. Every other table
# stands whole on every server: shards join with it, and the dictionary of identities reads it.
SHARDED: Final = {
    "touchpoints": "anchor",
    "parts": "anchor",
    "health": "customer",
    "outreach": "customer",
}
LOCAL: Final = "_local"  # what a server has of a sharded table is called so
# A table's path in Keeper is of its identity, so one that is dropped or renamed is in nobody's way.
_PATH: Final = "/clickhouse/tables/{uuid}/"
_SHARD: Final = "{shard}"
_WHOLE: Final = "all"
_REPLICA: Final = "{shard}-{replica}"
_NAME: Final = re.compile(r"\w+")
_COMMENTS: Final = re.compile(r"^\s*--.*\n?", re.MULTILINE)
_ENGINE: Final = re.compile(r"ENGINE = (\w*MergeTree)(?:\(([^)]*)\))?")
_OF_COLUMNS: Final = re.compile(r"\b(ADD|DROP|MODIFY|RENAME) COLUMN\b")
_OF_ROWS: Final = re.compile(r"\b(INDEX|PROJECTION|TTL|SETTING)\b")
_ENGINES: Final = """
SELECT engine_full FROM system.tables
WHERE database = currentDatabase() AND name IN %(sharded)s AND engine = 'Distributed'
"""


class UnspreadableStatement(Exception):
    """A statement of a migration is of no form that a cluster's tables can be made by."""

    def __init__(self, statement: str) -> None:
        first = statement.strip().splitlines()[0]
        super().__init__(
            f"{first!r} is of no form that sinks/shards.py spreads: see docs/deployment.md"
        )


def spread(statement: str, cluster: str, database: str) -> list[str]:
    """A statement of a migration as the statements that do it on every server of a cluster.

    Raises UnspreadableStatement.
    """
    source = _COMMENTS.sub("", statement).strip()
    if not source:
        return []
    for form, make in _FORMS:
        found = form.fullmatch(source)
        if found is not None:
            return make(found, f"ON CLUSTER `{cluster}`", f"'{cluster}', '{database}'")
    raise UnspreadableStatement(source)


def _create_table(found: re.Match[str], on: str, place: str) -> list[str]:
    name, body = found["name"], found["body"]
    if name not in SHARDED:
        return [f"CREATE TABLE IF NOT EXISTS {name} {on}\n{_replicated(body, _WHOLE)}"]
    return [
        f"CREATE TABLE IF NOT EXISTS {name}{LOCAL} {on}\n{_replicated(body, _SHARD)}",
        f"CREATE TABLE IF NOT EXISTS {name} {on} AS {name}{LOCAL}\n"
        f"ENGINE = Distributed({place}, '{name}{LOCAL}', sipHash64({SHARDED[name]}))",
    ]


def _replicated(body: str, shard: str) -> str:
    def engine(found: re.Match[str]) -> str:
        arguments = f"'{_PATH}{shard}', '{_REPLICA}'" + (f", {found[2]}" if found[2] else "")
        return f"ENGINE = Replicated{found[1]}({arguments})"

    made, engines = _ENGINE.subn(engine, body)
    if engines != 1:
        raise UnspreadableStatement(body)
    return made


def _create_other(found: re.Match[str], on: str, _: str) -> list[str]:
    return [f"{found['head']} {on}{found['body']}"]


def _alter(found: re.Match[str], on: str, _: str) -> list[str]:
    """Where rows are first. A table that stands whole tells its replicas by itself.

    Those who ask have columns only: no index, no time to live.
    """
    name, body = found["name"], found["body"]
    if name not in SHARDED:
        return [f"ALTER TABLE {name}{body}"]
    local = f"ALTER TABLE {name}{LOCAL} {on}{body}"
    if _OF_ROWS.search(body):
        if _OF_COLUMNS.search(body):
            raise UnspreadableStatement(found[0])
        return [local]
    return [local, f"ALTER TABLE {name} {on}{body}"]


def _rename_or_drop(found: re.Match[str], on: str, _: str) -> list[str]:
    if SHARDED.keys() & set(_NAME.findall(found[0])):
        raise UnspreadableStatement(found[0])
    return [f"{found[0]} {on}"]


def _insert(found: re.Match[str], _: str, __: str) -> list[str]:
    return [found[0]]


_Make = Callable[[re.Match[str], str, str], list[str]]
# What a migration may consist of -> how it is done on a cluster.
_FORMS: Final[tuple[tuple[re.Pattern[str], _Make], ...]] = tuple(
    (re.compile(form, re.DOTALL), make)
    for form, make in (
        (r"CREATE TABLE IF NOT EXISTS (?P<name>\w+)\s+(?P<body>\(.+)", _create_table),
        (r"(?P<head>CREATE VIEW IF NOT EXISTS \w+)(?P<body>\s.+)", _create_other),
        (r"(?P<head>CREATE OR REPLACE (?:VIEW|DICTIONARY) \w+)(?P<body>\s.+)", _create_other),
        (r"ALTER TABLE (?P<name>\w+)(?P<body>\s.+)", _alter),
        (r"(?:RENAME TABLE|DROP TABLE IF EXISTS) [\w, ]+", _rename_or_drop),
        (r"INSERT INTO .+", _insert),
    )
)


def cluster_of(client: Client) -> str:
    """The cluster that the database's tables are spread over; empty on a single server."""
    rows = client.execute(_ENGINES, {"sharded": tuple(SHARDED)})
    return str(rows[0][0]).split("'")[1] if rows else ""  # Distributed('cluster', …


def everywhere(client: Client) -> str:
    """`ON CLUSTER …` where there is one: what a statement needs to be done on every server."""
    cluster = cluster_of(client)
    return f" ON CLUSTER `{cluster}`" if cluster else ""


def rows_of(client: Client, table: str) -> str:
    """What ALTER, TRUNCATE and OPTIMIZE must name so that all of a table's rows are meant."""
    on = everywhere(client)
    return f"{table}{LOCAL}{on}" if on and table in SHARDED else table


def settle(client: Client, tables: Iterable[str]) -> None:
    """Wait until every replica has the rows that any of them has."""
    on = everywhere(client)
    if on:
        database = client.execute("SELECT currentDatabase()")[0][0]
        for table in tables:
            name = f"{table}{LOCAL}" if table in SHARDED else table
            client.execute(f"SYSTEM SYNC REPLICA{on} {database}.{name}")


def reload_identities(client: Client) -> None:
    """Show every server's readers the identities stored."""
    database = client.execute("SELECT currentDatabase()")[0][0]
    client.execute(f"SYSTEM RELOAD DICTIONARY{everywhere(client)} {database}.customer_of")
