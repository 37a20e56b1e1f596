"""Grafana's dashboards against its own types, as `make manifests` prints them: all fields known.

Options of panels need not be complete, since Grafana fills in what is left out.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import prometheus

from deploy.grafana.build import CLICKHOUSE_PLUGIN
from tests import grafana
from tests.manifests.test_manifests import DEPLOY, SCHEMAS

pytestmark = pytest.mark.manifests
# Of the plug-in's CHSqlQuery.
CLICKHOUSE_FIELDS = {"refId", "pluginVersion", "editorType", "rawSql", "queryType", "format"}


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    """`dashboard`, and `options` and `custom` fields by type of panel."""
    printed = json.loads((SCHEMAS / "grafana.json").read_text())
    found: dict[str, Any] = printed["definitions"]["Grafana"]["properties"]
    return {
        "dashboard": found["dashboard"],
        "options": {n: _partial(one) for n, one in found["options"]["properties"].items()},
        "custom": {n: _partial(one) for n, one in found["custom"]["properties"].items()},
    }


def _partial(schema: Any) -> Any:
    """A schema of which nothing is required."""
    if isinstance(schema, list):
        return [_partial(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _partial(one) for name, one in schema.items()}
    if isinstance(kept.get("required"), list):
        del kept["required"]
    return kept


def check(dashboard: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Raise ValidationError or AssertionError for an unknown field or a wrong value."""
    _validate(dashboard, schemas["dashboard"])
    field = schemas["dashboard"]["properties"]["panels"]["items"]["anyOf"][0]["properties"]
    known = field["fieldConfig"]["properties"]["defaults"]["properties"]
    for panel in grafana.panels(dashboard):
        kind, defaults = panel["type"], panel["fieldConfig"]["defaults"]
        _validate(panel["options"], schemas["options"][kind])
        _validate(defaults.get("custom", {}), schemas["custom"].get(kind, False))
        for override in panel["fieldConfig"]["overrides"]:
            for told in override["properties"]:
                name = told["id"].removeprefix("custom.")
                if name != told["id"]:
                    _validate({name: told["value"]}, schemas["custom"].get(kind, False))
                else:
                    assert name in known, told
                    _validate(told["value"], _partial(known[name]))
        for target in panel["targets"]:
            if "rawSql" in target:
                assert set(target) == CLICKHOUSE_FIELDS
                assert target["pluginVersion"] == CLICKHOUSE_PLUGIN
            else:
                assert json.loads(JSONEncoder().encode(_reread(target))) == target


def _reread(target: dict[str, Any]) -> prometheus.Dataquery:
    """As the SDK reads it, which drops what it does not know."""
    return prometheus.Dataquery.from_json(target)


def _validate(value: Any, schema: Any) -> None:
    if schema is False:
        assert value == {}, value
    else:
        jsonschema.Draft7Validator(schema).validate(value)


@pytest.mark.parametrize("uid", sorted(grafana.dashboards()))
def test_a_dashboard_is_what_grafana_takes(uid: str, schemas: dict[str, Any]) -> None:
    check(grafana.dashboards()[uid], schemas)


# where a dashboard's panel has a field, and what is put there instead
MISTAKES = {
    "titel": "titel",
    "fieldConfig.defaults.unti": "s",
    "fieldConfig.defaults.unit": 5,
    "fieldConfig.defaults.thresholds.mode": "absolutely",
    "fieldConfig.defaults.custom.fillOpactiy": 5,
    "options.legend.displayMode": "lists",
    "options.tooltip.modus": "multi",
    "gridPos.width": 8,
    "targets.0.expression": "up",
}


@pytest.mark.parametrize("path", MISTAKES)
def test_a_mistake_is_found(path: str, schemas: dict[str, Any]) -> None:
    dashboard = copy.deepcopy(grafana.dashboards()["journey-pipeline"])
    at: Any = next(one for one in grafana.panels(dashboard) if one["type"] == "timeseries")
    *parents, field = path.split(".")
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[field] = MISTAKES[path]
    with pytest.raises((jsonschema.ValidationError, AssertionError)):
        check(dashboard, schemas)


def test_grafana_is_the_one_of_the_schema_and_its_plug_in_the_one_of_the_queries() -> None:
    package = json.loads((Path(__file__).parent / "grafana" / "package.json").read_text())
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]
    cluster = (DEPLOY / "grafana" / "kubernetes.yaml").read_text()
    assert compose["image"] == f"grafana/grafana:{package['dependencies']['@grafana/schema']}"
    assert re.findall(r"image: (\S+)", cluster) == [compose["image"]]
    plugin = f"grafana-clickhouse-datasource@{CLICKHOUSE_PLUGIN}"
    assert compose["environment"]["GF_PLUGINS_PREINSTALL_SYNC"] == plugin
    assert plugin in cluster


def test_the_cluster_s_grafana_has_every_dashboard() -> None:
    kustomization = yaml.safe_load((DEPLOY / "grafana" / "kustomization.yaml").read_text())
    made = {one["name"]: one["files"] for one in kustomization["configMapGenerator"]}
    for file in (file for files in made.values() for file in files):
        assert (DEPLOY / "grafana" / file).exists(), file
    pod = next(yaml.safe_load_all((DEPLOY / "grafana" / "kubernetes.yaml").read_text()))
    volumes = {one["name"]: one for one in pod["spec"]["template"]["spec"]["volumes"]}
    mounted = {one["configMap"]["name"] for one in volumes["dashboards"]["projected"]["sources"]}
    mounted |= {one["configMap"]["name"] for one in volumes.values() if "configMap" in one}
    assert mounted == made.keys()
    dashboards = {file.name for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    assert dashboards == {Path(f).name for files in made.values() for f in files} - {"journey.yaml"}
