"""A burst of trouble with one product in one region, and the company calls those it met.

For real: `journey up --observe` with Debian's Prometheus and Alertmanager and the rules as they are
deployed. The calm hours before are put into Prometheus by its own tools, from the same rules.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from deploy.local.observe import DEPLOY, ObserverMissing, programs
from deploy.local.process import free_ports, is_open
from deploy.local.scrape import scrape, total
from producers.publisher import Publisher, prepare
from schemas.settings import load
from streams.cluster import unread
from tests.integration.journey import PATIENCE, Running, journey, running, until
from tests.wire import touchpoint

try:
    programs()
    MISSING = ""
except ObserverMissing as error:
    MISSING = str(error)
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]

CALM_SECONDS = 2 * 3600
STEP = 30  # seconds between two samples of the calm hours
HURT = 40
PLACES = (("P-1", "north"), ("P-1", "south"), ("P-2", "north"))
AFFECTED = {f"customer:hurt-{n}" for n in range(HURT)}
DECISIONS = "SELECT customer, taken, suppressed_by, toUnixTimestamp64Milli(requested_at), "
RULES = """
guard: {zone: UTC, language: en, holdout: 0}
rules:
  - name: product_trouble
    on_alert: {name: JourneyDistressRising, breakdown: [product_region, product], back: 10m}
    channel: call_task
    ways_out: [call_back, refund]
    template:
      en: {subject: "Trouble with {product}", body: "Choose: {ways_out}."}
      fa: {subject: "مشکل {product}", body: "انتخاب با شماست: {ways_out}."}
"""


class Moments(NamedTuple):
    """When each thing happened, epoch seconds, in order."""

    first_bad: float
    counted: float  # by the worker, and in the ledger
    pending: float  # the alert, in Prometheus
    firing: float
    asked: float  # the guard, by the receiver
    decided: float

    def told(self) -> str:
        """Seconds from each to the next."""
        steps = [
            f"{name} +{at - before:.1f}"
            for name, at, before in zip(self._fields[1:], self[1:], self, strict=False)
        ]
        return f"{self.decided - self.first_bad:.1f} s from touchpoint to outreach: {steps}"


def calm(until_s: int) -> Iterator[str]:
    """Two hours of ten touchpoints a minute at each place, one in fifty of them distressing."""
    series = [
        ('breakdown="channel",channel="packaging"', 3),
        ('breakdown="product",product="P-1"', 2),
        ('breakdown="product",product="P-2"', 1),
        ('breakdown="region",region="north"', 2),
        ('breakdown="region",region="south"', 1),
        *((f'breakdown="product_region",product="{p}",region="{r}"', 1) for p, r in PLACES),
    ]
    for kind, a_step in (("touchpoints", 5.0), ("distressing", 0.1)):
        yield f"# TYPE journey_breakdown_{kind} counter"
        for labels, share in series:
            name = f'journey_breakdown_{kind}_total{{job="worker",instance="earlier",{labels}}}'
            for n in range(CALM_SECONDS // STEP):
                at = until_s - CALM_SECONDS + n * STEP
                yield f"{name} {n * share * a_step:.1f} {at}"
    yield "# EOF"


def remember_calm(data: Path) -> None:
    """Put the calm hours into the folder of Prometheus, and what the rules say of them."""
    tsdb = data / "prometheus" / "data"
    tsdb.mkdir(parents=True)
    now = int(time.time())
    metrics = data / "calm.om"
    metrics.write_text("\n".join(calm(now - 60)) + "\n")
    promtool("create-blocks-from", "openmetrics", str(metrics), str(tsdb))
    with prometheus(data, tsdb) as url:
        promtool(
            *("create-blocks-from", "rules", "--url", url, "--output-dir", str(tsdb)),
            *("--start", str(now - CALM_SECONDS), "--end", str(now - 60), "--eval-interval", "30s"),
            str(DEPLOY / "prometheus" / "rules" / "business.yaml"),
        )


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", "tsdb", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def prometheus(data: Path, tsdb: Path) -> Iterator[str]:
    """A Prometheus on a folder that watches nothing."""
    (port,) = free_ports(1)
    config = data / "nothing.yaml"
    config.write_text("scrape_configs: []\n")
    process = subprocess.Popen(
        [
            programs()["prometheus"],
            f"--config.file={config}",
            f"--storage.tsdb.path={tsdb}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: is_open(port), "Prometheus does not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


class Senders:
    """Touchpoints of packaging, each of a customer, a product and a region."""

    def __init__(self, data: Path) -> None:
        self._settings = load({}, data=data)
        self._key = self._settings.identity_key_bytes()
        self._number = 0

    def send(self, *given: dict[str, Any]) -> None:
        with Publisher(self._settings) as publisher:
            for changes in given:
                self._number += 1
                now = datetime.now(UTC).isoformat()
                one = touchpoint(self._number, occurred_at=now, **changes)
                anchor, wire = prepare(one, self._key, "IR")
                publisher.publish(wire, anchor)


def packaging(customer: str, place: tuple[str, str], type_: str = "scan") -> dict[str, Any]:
    product, region = place
    return {
        "channel": "packaging",
        "type": type_,
        "product": product,
        "region": region,
        "identifiers": [{"kind": "customer", "value": customer}],
    }


def burst() -> list[dict[str, Any]]:
    """Complaints of one product in one region, some who are content, and trouble elsewhere."""
    here, there, other = PLACES
    named = [{"kind": "customer", "value": "helped"}]
    consent = {"channel": "web", "type": "consent_withdrawn", "purpose": "outreach"}
    return [
        consent | {"identifiers": [{"kind": "customer", "value": "hurt-0"}]},
        *(packaging(f"hurt-{n}", here, "complaint") for n in range(HURT)),
        *(packaging(f"content-{n}", here) for n in range(10)),
        *(packaging(f"elsewhere-{n}", there, "complaint") for n in range(3)),
        packaging("other-product", other, "complaint"),
        packaging("helped", here, "complaint"),
        {"channel": "call_center", "type": "call", "resolved": True, "identifiers": named},
    ]


def ask(url: str) -> Any:
    with urlopen(url, timeout=5) as answer:
        return json.load(answer)


def alerts(stack: Running) -> dict[str, Any]:
    """What Prometheus has pending or firing: breakdown and values -> the alert."""
    url = json.loads((stack.data / "stack.json").read_text())["urls"]["prometheus"]
    return {
        " ".join(one["labels"].get(n, "") for n in ("breakdown", "product", "region")): one
        for one in ask(f"{url}/api/v1/alerts")["data"]["alerts"]
        if one["labels"]["alertname"] == "JourneyDistressRising"
    }


def told(stack: Running) -> str:
    """What there is to see when nobody is asked for."""
    recorded = json.loads((stack.data / "stack.json").read_text())
    logs = {file.stem: file.read_text()[-2_000:] for file in (stack.data / "logs").iterdir()}
    return f"{recorded['restarts']} {alerts(stack)} {decided(stack)} {logs}"


def seen(stack: Running) -> float:
    """Touchpoints of the place counted last that Prometheus knows of, the calm hours left out."""
    url = json.loads((stack.data / "stack.json").read_text())["urls"]["prometheus"]
    product, region = PLACES[-1]
    labels = f'breakdown="product_region",product="{product}",region="{region}"'
    query = quote(f'journey_breakdown_touchpoints_total{{{labels},instance!="earlier"}}')
    found = ask(f"{url}/api/v1/query?query={query}")["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


def decided(stack: Running) -> list[tuple[Any, ...]]:
    client = stack.clickhouse()
    try:
        found: list[tuple[Any, ...]] = client.execute(
            f"{DECISIONS} toUnixTimestamp64Milli(decided_at) FROM outreach FINAL"
        )
    finally:
        client.disconnect()
    return found


def webhooks(stack: Running) -> float:
    """Webhooks that the receiver has taken."""
    port = json.loads((stack.data / "stack.json").read_text())["metrics"]["receiver"]
    return total([scrape(port)], "journey_webhooks_total", outcome="taken")


def wait_for_outreach(stack: Running) -> None:
    """Return once the guard has decided on all; what there is to see stands in the failure."""
    deadline = time.monotonic() + PATIENCE
    while len(decided(stack)) < HURT:
        assert time.monotonic() < deadline, told(stack)
        time.sleep(0.2)


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp[:26].rstrip("Z") + "+00:00").timestamp()


def run(data: Path, rules: Path) -> Moments:
    """From calm to trouble to outreach; every decision is checked."""
    remember_calm(data)
    with running(data, "up", "--observe", rules_file=rules) as stack:
        parts = json.loads(journey(data, "status", "--json").stdout)["processes"]
        observers = ("prometheus", "alertmanager", "receiver")
        assert all(parts[name]["url"].startswith("http://127.0.0.1:") for name in observers)
        senders = Senders(data)
        for turn in range(2):  # a value has counts of its own after its fifth touchpoint
            senders.send(
                *(packaging(f"calm-{turn}-{n}", place) for place in PLACES for n in range(15))
            )
            least = (10, 25)[turn]
            until(lambda n=least: seen(stack) >= n, "Prometheus sees nothing")
        assert alerts(stack) == {}
        first_bad = time.time()
        senders.send(*burst())
        until(lambda: stack.stored() >= 90 + len(burst()), "the ledger lacks some")
        counted = time.time()
        until(lambda: bool(alerts(stack)), "no alert is pending")
        wait_for_outreach(stack)
        # That of the channel, which no rule is on, was told too; nothing else is on its way.
        until(lambda: webhooks(stack) >= 2, "Alertmanager told of one alert only")
        settings = load({}, data=data)
        until(lambda: not any(unread(settings).values()), "something is on its way")
        found = decided(stack)
        assert {row[0] for row in found} == AFFECTED
        assert {row[0] for row in found if not row[1]} == {"customer:hurt-0"}
        assert {row[2] for row in found} == {"", "consent"}
        known = alerts(stack)
        assert not {"product_region P-1 south", "product_region P-2 north"} & set(known)
        alert = known["product_region P-1 north"]
        url = json.loads((data / "stack.json").read_text())["urls"]["alertmanager"]
        sent = {one["labels"].get("breakdown"): one for one in ask(f"{url}/api/v2/alerts")}
        states = {name: one["status"]["state"] for name, one in sent.items()}
        assert states.pop("product_region") == states.pop("channel") == "active"
        assert states.keys() >= {"product"}
        assert set(states.values()) == {"suppressed"}
        moments = Moments(
            first_bad,
            counted,
            seconds(alert["activeAt"]),
            seconds(sent["product_region"]["startsAt"]),
            min(row[3] for row in found) / 1000,
            max(row[4] for row in found) / 1000,
        )
        assert stack.end(signal.SIGTERM) == 0
    return moments


def test_a_burst_becomes_outreach_to_those_it_met(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES, encoding="utf-8")
    moments = run(tmp_path / "data", rules)
    print(moments.told())
    in_order = [moments.first_bad, *moments[2:]]
    assert in_order == sorted(in_order)


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("prometheus") is None
    done = journey(tmp_path / "data", "up", "--observe")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "journey: --observe: prometheus is not installed: "
        "apt-get install prometheus prometheus-alertmanager"
    )
