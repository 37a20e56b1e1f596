"""The way to ClickHouse: a URL to a connected client, and its database made ready."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from clickhouse_driver import Client

from sinks.migrate import migrate

DEFAULT_DATABASE: Final = "journey"
# Options of clickhouse-driver; the URL's own win.
_OPTIONS: Final[dict[str, object]] = {
    "compression": "lz4",
    "connect_timeout": 5,
    "send_receive_timeout": 60,  # of silence
    "sync_request_timeout": 5,  # of the ping before each query
    # Where tables are spread over shards: an insert returns when the shards have it, a subquery
    # is asked of all of them once, and rows deleted may be written again.
    "insert_distributed_sync": 1,
    "distributed_product_mode": "global",
    "insert_deduplicate": 0,
}


def connect(url: str, database: str | None = None, **defaults: object) -> Client:
    """A client of the URL's database, or of `database`; it connects with its first query.

    `defaults` replace our options of clickhouse-driver and give way to the URL's own. A client
    serves one query at a time: use one per thread.
    """
    parts = urlsplit(url)
    options = urlencode(_OPTIONS | defaults | dict(parse_qsl(parts.query)))
    path = "/" + (database or parts.path.strip("/") or DEFAULT_DATABASE)
    return Client.from_url(urlunsplit(parts._replace(path=path, query=options)))


def prepare(url: str, cluster: str = "") -> list[str]:
    """Create the URL's database where it is missing and migrate it; the files applied.

    On every server of a cluster where one is named. Raises MigrationError.
    """
    name = urlsplit(url).path.strip("/") or DEFAULT_DATABASE
    on = f" ON CLUSTER `{cluster}`" if cluster else ""
    client = connect(url, database="default")
    try:
        client.execute(f"CREATE DATABASE IF NOT EXISTS `{name.replace('`', '')}`{on}")
    finally:
        client.disconnect()
    client = connect(url)
    try:
        return migrate(client, cluster=cluster)
    finally:
        client.disconnect()
