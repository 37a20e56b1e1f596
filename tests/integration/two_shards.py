"""A ClickHouse whose one engine plays both shards of a cluster.

Distributed tables ask each shard as on a cluster: row policies give each of them the rows whose
hash it has. There is no Keeper, so tables are not replicated, and a statement for every server is
run once: that much of what a cluster is asked, `Client` below leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import clickhouse_driver

from sinks.clickhouse import connect
from sinks.migrate import migrate
from sinks.shards import LOCAL, SHARDED
from tests.servers import running_clickhouse

CLUSTER: Final = "journey"
HALF: Final = "half"  # a cluster whose second shard is away
DATABASES: Final = tuple(f"spread_{n}" for n in range(60))
_NO_KEEPER: Final = (
    (re.compile(r" ON CLUSTER `\w+`"), ""),
    (re.compile(r"ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?"), r"ENGINE = \1("),
    (re.compile(r"SYSTEM SYNC REPLICA \S+"), "SELECT 1"),
)
_SHARD: Final = """<shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>{}</port></replica></shard>"""


class Client(clickhouse_driver.Client):  # type: ignore[misc]
    """Leaves out of a statement what needs Keeper."""

    def execute(self, query: str, *args: Any, **options: Any) -> Any:
        for form, instead in _NO_KEEPER:
            query = form.sub(instead, query)
        return super().execute(query, *args, **options)


@contextmanager
def running_two_shards(folder: Path) -> Iterator[int]:
    """The port of one. Its cluster has the databases of `DATABASES`, which do not exist yet."""
    users, config = folder / "users.xml", folder / "config.xml"
    policies = "".join(
        f"<{table}{LOCAL}><filter>sipHash64({key}) % 2 = shardNum() - 1</filter></{table}{LOCAL}>"
        for table, key in SHARDED.items()
    )
    users.write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default>"
        "<password></password><networks><ip>::/0</ip></networks><profile>default</profile>"
        "<quota>default</quota><databases>"
        + "".join(f"<{database}>{policies}</{database}>" for database in DATABASES)
        + "</databases><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants>"
        "</default></users></clickhouse>"
    )
    config.write_text(
        f"<clickhouse><tcp_port>9000</tcp_port><users_config>{users}</users_config>"
        f"<remote_servers><{CLUSTER}>{_SHARD.format(9000) * 2}</{CLUSTER}>"
        f"<{HALF}>{_SHARD.format(9000)}{_SHARD.format(1)}</{HALF}></remote_servers></clickhouse>"
    )
    with running_clickhouse(folder / "store", config) as port:
        yield port


def prepare_shards(url: str, cluster: str = CLUSTER) -> Client:
    """A client of the URL's database, with the tables of a cluster."""
    plain = connect(url, database="default")
    plain.execute(f"CREATE DATABASE {url.rpartition('/')[2]}")
    plain.disconnect()
    client = connect_shards(url)
    migrate(client, cluster=cluster)
    return client


def connect_shards(url: str) -> Client:
    """A client for statements that change rows where they are."""
    client = connect(url)
    client.__class__ = Client
    return client
