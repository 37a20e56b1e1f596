"""Numbered SQL files to tables, each applied once."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import Final

from clickhouse_driver import Client

from sinks.shards import UnspreadableStatement, cluster_of, settle, spread

FOLDER: Final = Path(__file__).parent / "ddl"
# The migration that creates a database names it outside of quotes.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WAIT: Final = {"alter_sync": 2}  # for every replica
_RECORD: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    name       String,
    sha256     FixedString(64),
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY name
"""


class MigrationError(Exception):
    """A migration cannot be applied; the message names the file and the fix."""


class ChangedMigration(MigrationError):
    """A file that was applied already has other contents now."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} was applied with other contents: undo the edit and write it as a new file"
        )
        self.name = name


class OtherCluster(MigrationError):
    """The database's tables are not spread as the setting says."""

    def __init__(self, made: str, named: str) -> None:
        super().__init__(
            f"JOURNEY_CLICKHOUSE_CLUSTER is {named or 'not set'}, and the tables were made "
            f"{f'on the cluster {made}' if made else 'for a single server'}: set it so, or name "
            "another database in JOURNEY_CLICKHOUSE"
        )


def migrate(client: Client, folder: Path = FOLDER, cluster: str = "") -> list[str]:
    """Apply the files not applied yet to the client's database, in order of name; their names.

    On a cluster, where one is named, tables are made as `sinks.shards` says.

    `$database`, `$user` and `$password` in a file stand for the connection's own: a dictionary
    reads its table as that user. Raises ChangedMigration and OtherCluster before anything is
    applied.
    """
    database = client.execute("SELECT currentDatabase()")[0][0]
    if not _NAME.fullmatch(database):
        raise MigrationError(
            f"database {database!r}: name it with letters, digits and underscores only"
        )
    values = {
        "database": database,
        "user": _quoted(client.connection.user),
        "password": _quoted(client.connection.password),
    }
    if client.execute("EXISTS TABLE touchpoints")[0][0] and (on := cluster_of(client)) != cluster:
        raise OtherCluster(on, cluster)

    def made(source: str) -> list[str]:
        found = statements(Template(source).substitute(values))
        if cluster:
            found = [each for one in found for each in spread(one, cluster, database)]
        return found

    for statement in made(_RECORD):
        client.execute(statement, settings=_WAIT)
    settle(client, ["schema_migrations"])
    applied = dict(client.execute("SELECT name, sha256 FROM schema_migrations FINAL"))
    pending = []
    for path in sorted(folder.glob("*.sql")):
        source = path.read_text(encoding="utf-8")
        digest = sha256(source.encode()).hexdigest()
        if path.name not in applied:
            try:
                pending.append((path.name, made(source), digest))
            except UnspreadableStatement as error:
                raise MigrationError(f"{path.name}: {error}") from None
        elif applied[path.name] != digest:
            raise ChangedMigration(path.name)
    for name, commands, digest in pending:
        for command in commands:
            client.execute(command, settings=_WAIT)
        client.execute("INSERT INTO schema_migrations (name, sha256) VALUES", [(name, digest)])
    return [name for name, _, _ in pending]


def statements(source: str) -> list[str]:
    """The statements of a migration file: each ends with a semicolon at the end of a line."""
    parts = (part.strip() for part in re.split(r";[ \t]*(?:\n|\Z)", source))
    return [part for part in parts if part]


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
