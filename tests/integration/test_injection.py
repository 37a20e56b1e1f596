"""What people type reaches ClickHouse as a bound value: never as a part of the query."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from clickhouse_driver import Client

from cli import main
from schemas.outcome import CustomerHealth, DeadLetter
from sinks.clickhouse import connect, prepare
from sinks.rows import TABLES, TOPIC_TABLES
from sinks.writer import ClickHouseWriter
from streams.core.identifiers import normalise
from tests.servers import refusing_port
from tests.sink_records import step

pytestmark = pytest.mark.integration
MARK = "zqx"  # in every value typed, and in no query of ours
HOSTILE = [
    f"{MARK}' OR 1=1 -- ",
    f"{MARK}\\' OR 1=1 -- ",
    f"{MARK}'; DROP TABLE touchpoints; -- ",
    f"{MARK}' UNION ALL SELECT name FROM system.users -- ",
    f'{MARK}" OR ""=""',
    f"{MARK}` OR `1`=`1",
    f"{MARK}*/ OR 1=1 /*",
    f"{MARK} %(identifier)s %s %",
    f"{MARK} {{identifier:String}} {{}}",
    f"{MARK}\\",
    f"{MARK}\\x27 OR 1=1",
    f"{MARK}\x00' OR 1=1 -- ",
    f"{MARK}\n' OR 1=1\n--",
    f"مشتری {MARK}' یا ۱=۱ -- ",
]


@pytest.fixture(scope="module")
def url(clickhouse_port: int) -> str:
    """A ledger with one customer for each hostile name, and a dead letter of each."""
    url = f"clickhouse://default@127.0.0.1:{clickhouse_port}/journey_injection"
    prepare(url)
    names = [normalise("customer", value, b"k", "IR") for value in HOSTILE]
    writer = ClickHouseWriter(connect(url))
    rows = {
        "journeys": [
            step(name, 1_000 * n, n, properties="{}", fields={"note": name}, account=name)
            for n, name in enumerate(names)
        ],
        "customers": [
            CustomerHealth(name, 1, 2, 1, 50, 0, 0, "", "", {}, [], {}) for name in names
        ],
        "dead-letters": [
            DeadLetter("touchpoints", 0, n, "malformed_json", "", name, name.encode(), 1_000)
            for n, name in enumerate(names)
        ],
    }
    for topic, records in rows.items():
        table = TOPIC_TABLES[topic]
        writer.insert(table, table.rows(records))
    writer.close()
    return url


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every query given to the driver, as it is before values are put in."""
    asked: list[str] = []
    for name in ("execute", "execute_iter", "execute_with_progress"):
        original = getattr(Client, name)

        def noted(self: Client, query: str, *args: object, _original=original, **kw: object):  # type: ignore[no-untyped-def]
            asked.append(query)
            return _original(self, query, *args, **kw)

        monkeypatch.setattr(Client, name, noted)
    return asked


def counted(url: str) -> dict[str, int]:
    client = connect(url)
    try:
        return {t.name: client.execute(f"SELECT count() FROM {t.name}")[0][0] for t in TABLES}
    finally:
        client.disconnect()


@pytest.mark.parametrize("value", HOSTILE)
def test_what_is_typed_is_only_ever_a_value(
    url: str, queries: list[str], tmp_path: Path, value: str
) -> None:
    before = counted(url)
    verbs = {
        ("customer", f"customer:{value}"): 0,  # there is one of that very name
        ("customer", f"customer:no {value}"): 1,
        ("customer", value): 0,
        ("identity", "show", f"customer:{value}"): 0,
        ("funnel", f"web:page_view[account={value}]"): None,
        ("funnel", f"web:page_view[{value}=1]"): None,
        ("funnel", f"web:{value}"): 1,
        ("dead", "list", "--topic", value): None,
        ("dead", "show", value): 1,
        ("customers", "--as-of", value): 2,
    }
    with refusing_port() as port:
        environ = {
            "JOURNEY_CLICKHOUSE": url,
            "JOURNEY_KAFKA": f"127.0.0.1:{port}",
            "JOURNEY_DATA": str(tmp_path),
            "JOURNEY_IDENTITY_KEY": "k",
        }
        for verb, code in verbs.items():
            done = CliRunner().invoke(main, [*verb], env=environ)
            assert isinstance(done.exception, SystemExit | None), (verb, done.exception)
            assert code is None or done.exit_code == code, (verb, done.output)
    assert queries
    assert not [query for query in queries if MARK in query]
    assert counted(url) == before


def test_a_hostile_account_is_found_by_its_name(url: str, tmp_path: Path) -> None:
    environ = {"JOURNEY_CLICKHOUSE": url, "JOURNEY_DATA": str(tmp_path)}
    for value in HOSTILE:
        if "]" in value or value != value.strip():
            continue
        asked = f"web:page_view[account=customer:{value}]"
        done = CliRunner().invoke(main, ["funnel", asked, "--json"], env=environ)
        assert '"customers": 1' in done.stdout, (value, done.output)
