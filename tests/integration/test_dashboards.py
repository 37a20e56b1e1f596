"""Every panel of Grafana's dashboards, asked of a live Prometheus and ClickHouse, shows something.

An observed stack runs touchpoints of a simulation, loses its database and gets it back, and
is told of an alert; Debian's Prometheus scrapes it and evaluates the rules that deployments have.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError

from deploy.local.observe import TOKEN
from deploy.local.scrape import total
from deploy.local.stack import Stack
from producers.publisher import Publisher, prepare
from producers.simulator.catalogue import PRODUCTS
from producers.simulator.publish import publish_simulation
from producers.simulator.stream import simulate
from schemas.settings import load
from sinks.clickhouse import connect
from streams.cluster import wait_until_read
from tests import grafana
from tests.endpoint import SECRET, Endpoint, serving
from tests.grafana import Chosen, Query
from tests.servers import BROKER
from tests.wire import touchpoint

pytestmark = pytest.mark.integration

PATIENCE = 240.0  # seconds from the stack's start until every panel shows something
TOUCHPOINTS, CUSTOMERS, RATE = 6_000, 300, 1_000
_complaints = itertools.count(10_000)
ROOT = Path(__file__).parents[2]
# Where it is about noon: quiet hours suppress some decisions of the shipped rules, not all.
ZONE = f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


class Live:
    """A stack, and the Prometheus that watches it."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self._prometheus = stack, stack.urls()["prometheus"]
        self.deadline = time.monotonic() + PATIENCE
        self.client: Client = connect(stack.settings.clickhouse.get_secret_value())

    def ask(self, path: str, **parameters: str | float) -> Any:
        """What Prometheus' API answers; fails with its message."""
        try:
            with urlopen(f"{self._prometheus}/api/v1/{path}?{urlencode(parameters)}") as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            pytest.fail(f"{json.load(error)['error']}: {parameters}")

    def series(self, query: Query, chosen: Chosen) -> list[dict[str, Any]]:
        """The series of a query that have a number, asked as their panel asks for them."""
        now, step = int(time.time()), query.step
        if query.target.get("instant"):
            found = self.ask("query", query=query.promql(chosen), time=now)
        else:  # both ends are moved back to whole steps
            times = {"start": (now - query.range) // step * step, "end": now // step * step}
            found = self.ask("query_range", query=query.promql(chosen), step=step, **times)
        return [one for one in found["result"] if _has_number(one)]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query of ClickHouse, by the names of their columns."""
        found, columns = self.client.execute(sql, with_column_types=True)
        names = [name for name, _ in columns]
        assert len(set(names)) == len(names), names
        return [dict(zip(names, row, strict=True)) for row in found]

    def wait(self, true: Callable[[], object], otherwise: str, *, watch: bool = False) -> None:
        """Poll until it is true; with `watch`, what has died is started again meanwhile."""
        while not true():
            assert time.monotonic() < self.deadline, otherwise
            if watch:
                self.stack.watch()
            time.sleep(0.1)

    def has_failed_inserts(self) -> bool:
        return total(self.stack.metrics(), "journey_insert_errors_total", kind="unavailable") > 0

    def has(self, query: str) -> bool:
        """Whether Prometheus finds anything."""
        return bool(self.ask("query", query=query)["result"])

    def answers(self) -> bool:
        try:
            return bool(self.client.execute("SELECT 1"))
        except (ClickHouseError, EOFError, OSError):
            return False

    def values(self, variable: dict[str, Any]) -> list[str]:
        """What a variable offers."""
        query = variable["query"]
        if variable["type"] == "custom":
            return grafana.listed(variable)
        if variable["datasource"]["uid"] == "clickhouse":
            return [str(next(iter(row.values()))) for row in self.rows(query)]
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked, query
        found: list[str] = self.ask(f"label/{asked[2]}/values", **{"match[]": asked[1]})
        return found


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("dashboards")
    environ = {**BROKER, "JOURNEY_RULES_FILE": str(_rules(folder))}
    with serving(Endpoint()) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", SECRET)
        file = folder / "endpoints.yaml"
        file.write_text(f'call_task: {{url: "{endpoint.url("/tasks")}", secret: SECRET}}\nkafka:\n')
        environ["JOURNEY_ENDPOINTS_FILE"] = str(file)
        settings = load(environ, data=folder / "data")
        stack = Stack(settings, workers=1, port_base=None, report=lambda *_: None, observed=True)
        stack.start(fresh=False)
        try:
            found = Live(stack)
            _run(found)
            yield found
            found.client.disconnect()
        finally:
            stack.stop(drain=False)


@pytest.mark.parametrize("uid", sorted(grafana.dashboards()))
def test_every_variable_offers_values(live: Live, uid: str) -> None:
    for variable in grafana.variables(uid):
        assert live.values(variable), variable["name"]


@pytest.mark.parametrize("query", grafana.queries(), ids=str)
def test_a_panel_can_be_asked_for_one_value_of_each_variable(live: Live, query: Query) -> None:
    narrow = grafana.chosen(query.dashboard, live.values, narrow=True)
    if query.is_sql:
        live.rows(query.sql(narrow, int(time.time())))
    else:
        live.series(query, narrow)


@pytest.mark.parametrize("query", grafana.queries(), ids=str)
def test_a_panel_shows_something(live: Live, query: Query) -> None:
    # Last: some metrics come with the sweep of every minute.
    fault = "not asked"
    while fault:
        chosen = grafana.chosen(query.dashboard, live.values)
        fault = _fault_of_rows(live, query, chosen) if query.is_sql else _fault(live, query, chosen)
        assert not fault or time.monotonic() < live.deadline, fault
        time.sleep(0.5 if fault else 0)


def _fault(live: Live, query: Query, chosen: Chosen) -> str:
    """Why the panel of a PromQL query is not as it should be; empty where it is."""
    found = live.series(query, chosen)
    if not found:
        return "no series"
    named = re.findall(r"{{(\w+)}}", query.target.get("legendFormat", ""))
    missing = [name for one in found for name in named if not one["metric"].get(name)]
    return f"series without {missing}" if missing else ""


def _fault_of_rows(live: Live, query: Query, chosen: Chosen) -> str:
    """The same for SQL: the columns are those that the kind of panel takes, too."""
    rows = live.rows(query.sql(chosen, int(time.time())))
    if not rows:
        return "no rows"
    kinds = [_kind(row) for row in rows]
    match query.panel["type"]:
        case "stat":
            fits = len(rows) == 1 and kinds[0] == "n"
        case "timeseries":
            times = [next(iter(row.values())) for row in rows]
            fits = re.fullmatch("ts?[n-]+", kinds[0]) is not None and times == sorted(times)
        case "barchart":
            fits = re.fullmatch("s[n-]+", kinds[0]) is not None
        case _:
            shown = {one["matcher"]["options"] for one in query.panel["fieldConfig"]["overrides"]}
            fits = shown <= rows[0].keys()
    if not fits:
        return f"columns {kinds[0]}: {rows[0]}"
    return "" if any("n" in kind for kind in kinds) else f"no number in {rows[:3]}"


def _kind(row: dict[str, Any]) -> str:
    """A letter for each value: time, text, number, or - for none."""
    return "".join(map(_letter, row.values()))


def _letter(value: Any) -> str:
    if isinstance(value, datetime):
        return "t"
    if isinstance(value, str):
        return "s"
    return "-" if value is None or math.isnan(value) else "n"


def _has_number(series: dict[str, Any]) -> bool:
    values = series.get("values") or [series["value"]]
    return any(value != "NaN" for _, value in values)


def _run(live: Live) -> None:
    """Traffic through the stack, whose database dies in the middle of it."""
    records = simulate(TOUCHPOINTS, CUSTOMERS, 7, datetime.now(UTC))
    settings = live.stack.settings
    key = settings.identity_key_bytes()
    with Publisher(settings) as publisher:
        for kill in (True, False):
            part = itertools.islice(records, TOUCHPOINTS // 2 + 1)
            publish_simulation(part, publisher, key, settings.phone_region, RATE)
            if kill:  # what is scraped once only has no rate
                live.wait(partial(live.has, "journey_text_sentiment_bucket"), "nothing is scraped")
                found = json.loads((settings.data / "stack.json").read_text())
                os.kill(found["processes"]["clickhouse"], signal.SIGKILL)
        live.wait(partial(_has_breakdowns, live, publisher), "nothing is counted by product")
    live.wait(live.has_failed_inserts, "the sink does not find out")
    live.wait(partial(live.has, "ALERTS"), "Prometheus does not find out")
    live.wait(live.answers, "the database does not come back", watch=True)
    wait_until_read(settings, lambda _: live.stack.watch(), PATIENCE, pause=0.25)
    live.client.execute("SYSTEM RELOAD DICTIONARY customer_of")
    _alert(live)


def _has_breakdowns(live: Live, publisher: Publisher) -> bool:
    """Whether Prometheus has seen trouble with a product rise; some more of it is sent."""
    now = datetime.now(UTC).isoformat()
    for number in itertools.islice(_complaints, 5):
        given = touchpoint(
            number,
            occurred_at=now,
            channel="packaging",
            type="complaint",
            product=PRODUCTS[0].sku,
            region="تهران",
            identifiers=[{"kind": "cookie", "value": f"c-{number}"}],
        )
        anchor, wire = prepare(given, live.stack.settings.identity_key_bytes(), "IR")
        publisher.publish(wire, anchor)
    publisher.flush()
    return live.has('journey:breakdown_distressing:share5m{breakdown="product"}')


def _alert(live: Live) -> None:
    """Trouble with a product, as Alertmanager tells it."""
    labels = {
        "alertname": "JourneyDistressRising",
        "breakdown": "product",
        "product": PRODUCTS[0].sku,
    }
    began = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    alert = {"status": "firing", "labels": labels, "startsAt": began, "fingerprint": "1"}
    token = (live.stack.settings.data / TOKEN).read_text()
    told = Request(
        f"{live.stack.urls()['receiver']}/alerts",
        json.dumps({"version": "4", "status": "firing", "alerts": [alert]}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urlopen(told) as answer:
        assert json.load(answer)["alerts"] == 1


def _rules(folder: Path) -> Path:
    """The shipped rules, for a place where it is about noon, with more of them held out."""
    text = (ROOT / "streams" / "rules.yaml").read_text()
    for old, new in (
        ("zone: Asia/Tehran", f"zone: {ZONE}"),
        ("quiet_days: [friday]", ""),
        ("holdout: 0.1", "holdout: 0.3"),
    ):
        assert old in text
        text = text.replace(old, new)
    path = folder / "rules.yaml"
    path.write_text(text)
    return path
