"""No network but loopback, and that for integration tests only; fixtures of real servers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from pytest_socket import disable_socket, socket_allow_hosts

from deploy.local.stack import Stack
from schemas.settings import Settings, load
from sinks.clickhouse import prepare
from streams.cluster import delete_topics
from tests.integration import two_shards
from tests.servers import (
    BROKER,
    BROKER_FORGETS,
    running_broker,
    running_clickhouse,
)

_databases = count()
_shard_databases = iter(two_shards.DATABASES)
# A machine that is busy with the other suites is no fault of a test. To explain a counterexample
# takes minutes, and it is shrunk as it is.
hypothesis_settings.register_profile(
    "busy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
hypothesis_settings.load_profile("busy")
# Fixtures with a broker behind them: their tests are run against Apache Kafka too.
_BROKER_FIXTURES = {"broker_port", "stack"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that touch a broker; those that start `journey` themselves say so."""
    for item in items:
        if _BROKER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.broker)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture; pytest-socket gives the network back after every test."""
    if item.get_closest_marker("integration"):
        socket_allow_hosts(["127.0.0.1"], allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)


@pytest.fixture(scope="session")
def clickhouse_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as port:
        yield port


@pytest.fixture
def clickhouse_url(clickhouse_port: int) -> str:
    """URL of a database that does not exist yet."""
    return f"clickhouse://default@127.0.0.1:{clickhouse_port}/journey_{next(_databases)}"


@pytest.fixture(scope="session")
def _shards_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with two_shards.running_two_shards(tmp_path_factory.mktemp("shards")) as port:
        yield port


@pytest.fixture
def shards_url(_shards_port: int) -> str:
    """URL of a database of a cluster, that does not exist yet."""
    return f"clickhouse://default@127.0.0.1:{_shards_port}/{next(_shard_databases)}"


@pytest.fixture(params=["one server", "two shards"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, made for one server, and for a cluster."""
    spread = request.param == "two shards"
    url: str = request.getfixturevalue("shards_url" if spread else "clickhouse_url")
    if spread:
        two_shards.prepare_shards(url).disconnect()
    else:
        prepare(url)
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Client]:
    """A client of it, which may also change rows where they are."""
    client = two_shards.connect_shards(database_url)
    yield client
    client.disconnect()


@pytest.fixture(scope="session")
def _shared_broker() -> Iterator[int]:
    with running_broker() as port:
        yield port


@pytest.fixture
def broker_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a broker without topics. Apache Kafka takes seconds to start: it is shared."""
    if BROKER_FORGETS:
        with running_broker() as port:
            yield port
    else:
        port = request.getfixturevalue("_shared_broker")
        yield port
        delete_topics(Settings(kafka=f"127.0.0.1:{port}"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack of four partitions, shared: tests look at their own customers only."""
    settings = load(BROKER, data=tmp_path_factory.mktemp("stack"))
    running = Stack(settings, workers=1, port_base=None, report=lambda *_: None)
    running.start(fresh=False)
    try:
        yield running
    finally:
        running.stop(drain=False)
