"""Fixtures of real servers: one database for the session, an empty broker for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from tests.servers import running_broker, running_clickhouse

_databases = count()


@pytest.fixture(scope="session")
def clickhouse_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as port:
        yield port


@pytest.fixture
def clickhouse_url(clickhouse_port: int) -> str:
    """URL of a database that does not exist yet."""
    return f"clickhouse://default@127.0.0.1:{clickhouse_port}/journey_{next(_databases)}"


@pytest.fixture
def broker_port() -> Iterator[int]:
    with running_broker() as port:
        yield port
