"""Grafana's dashboards: what is committed is what is described, and names what there is."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import streams.metrics  # noqa: F401 (registers what it declares)
from analytics.funnel import funnel_sql
from deploy.grafana.__main__ import DASHBOARDS, FOLDER
from deploy.grafana.build import CLICKHOUSE, PROMETHEUS, as_json
from deploy.grafana.panels import BANDS, DISTRESSED, WIDTH
from deploy.grafana.touchpoints import FUNNEL
from deploy.local.demo import FUNNEL as DEMO_FUNNEL
from streams.core.policy import Policy
from streams.metrics import DISTRESS
from tests import grafana

RULES = sorted((Path(__file__).parents[2] / "deploy" / "prometheus" / "rules").glob("*.yaml"))
SCREENS = 2 * 24  # lines of the grid on two screens of 1080 lines


def metrics() -> set[str]:
    """Samples that the pipeline's processes may expose."""
    found = set()
    for family in REGISTRY.collect():
        ends = {
            "counter": ["_total"],
            "histogram": ["_bucket", "_sum", "_count"],
        }
        found |= {family.name + end for end in ends.get(family.type, [""])}
    return found


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in RULES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def panels() -> list[Any]:
    return [
        pytest.param(panel, id=f"{uid}-{panel['title']}")
        for uid, dashboard in grafana.dashboards().items()
        for panel in grafana.panels(dashboard)
    ]


@pytest.mark.parametrize("description", DASHBOARDS, ids=lambda one: one.name)
def test_the_file_is_what_the_description_builds(description: Any) -> None:
    committed = (FOLDER / f"{description.name}.json").read_text(encoding="utf-8")
    assert committed == as_json(description), "python -m deploy.grafana writes it anew"


def test_there_is_no_file_that_nothing_describes() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == {one.name for one in DASHBOARDS}


@pytest.mark.parametrize("dashboard", grafana.dashboards().values(), ids=lambda one: one["uid"])
def test_a_dashboard_is_read_on_two_screens(dashboard: dict[str, Any]) -> None:
    open_panels = [one for one in dashboard["panels"] if one["type"] != "row"]
    assert max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in open_panels) <= SCREENS
    everything = [*dashboard["panels"], *grafana.panels(dashboard)]
    ids = [one["id"] for one in {id(one): one for one in everything}.values()]
    assert len(ids) == len(set(ids))
    assert dashboard["timezone"] == "browser"
    assert [link["type"] for link in dashboard["links"]] == ["dashboards"]
    assert set(dashboard["tags"]) == set(dashboard["links"][0]["tags"])


@pytest.mark.parametrize("dashboard", grafana.dashboards().values(), ids=lambda one: one["uid"])
def test_panels_fill_their_lines_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: dict[int, list[tuple[int, int]]] = {}
    rows = [row for row in dashboard["panels"] if row["type"] == "row" and row["panels"]]
    for folder in (dashboard["panels"], *(row["panels"] for row in rows)):
        taken.clear()
        for panel in folder:
            at = panel["gridPos"]
            for line in range(at["y"], at["y"] + at["h"]):
                taken.setdefault(line, []).append((at["x"], at["x"] + at["w"]))
        for spans in taken.values():
            spans.sort()
            assert spans[0][0] == 0
            assert spans[-1][1] == WIDTH
            assert all(left[1] == right[0] for left, right in pairwise(spans))


@pytest.mark.parametrize("panel", panels())
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] in {PROMETHEUS.uid, CLICKHOUSE.uid}
    assert panel["targets"]
    for step, following in pairwise(panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]):
        assert step["value"] <= following["value"]


@pytest.mark.parametrize("query", [one for one in grafana.queries() if not one.is_sql], ids=str)
def test_a_metric_that_is_asked_for_is_there(query: grafana.Query) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = set(re.findall(r"\bjourney[_:]\w[\w:]*", query.target["expr"]))
    assert asked <= metrics() | recorded


def test_every_metric_is_shown_or_alerted_on() -> None:
    said = str(rules()) + str([one.target for one in grafana.queries()])
    named = {family.name for family in REGISTRY.collect() if family.name.startswith("journey_")}
    assert named
    assert not [name for name in named if not re.search(rf"\b{name}(?:_|\b)", said)]


def test_every_variable_is_used_and_every_one_used_is_there() -> None:
    for uid, dashboard in grafana.dashboards().items():
        names = {one["name"] for one in grafana.variables(uid)}
        said = str([(p["title"], p["targets"]) for p in grafana.panels(dashboard)])
        used = set(re.findall(r"\$\{?((?!__)\w+)", said))
        assert used == names, uid


def test_the_funnel_is_the_one_of_the_demonstration() -> None:
    assert FUNNEL == DEMO_FUNNEL
    sql, values, _ = funnel_sql(FUNNEL, 1)
    assert "windowFunnel" in sql
    assert values["s0_channel"] == "web"


def test_thresholds_are_the_default_policy_s_bands_and_a_bound_of_the_histogram() -> None:
    policy = Policy()
    for score in range(101):
        colour = [colour for value, colour in BANDS if value is None or score >= value][-1]
        assert policy.band(score) == {"orange": "amber"}.get(colour, colour)
    (family,) = DISTRESS.collect()
    DISTRESS.observe_all([0.5], ("test", "en"))
    (family,) = DISTRESS.collect()
    bounds = {sample.labels.get("le") for sample in family.samples}
    assert f"{DISTRESSED / 1000:g}" in bounds
