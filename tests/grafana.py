"""The panels of Grafana's dashboards, and their queries as Grafana and its plug-ins send them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

GRAFANA: Final = Path(__file__).parents[1] / "deploy" / "grafana"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_POINTS: Final = 1_000  # of a panel, about as many as it is wide
_CONDITIONAL: Final = "$__conditionalAll("
ALL: Final = "$__all"
# variable -> the values chosen, or ALL
Chosen = Mapping[str, list[str] | str]


@dataclass(frozen=True)
class Query:
    """A query of a panel, or of a variable, of a dashboard."""

    dashboard: str
    panel: dict[str, Any]
    target: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.dashboard}-{self.panel['title']}-{self.target['refId']}"

    @property
    def is_sql(self) -> bool:
        return "rawSql" in self.target

    @property
    def step(self) -> int:
        """Seconds of `$__interval`: the range by the panel's points, no less than it asks for."""
        source = _sources()[self.panel["datasource"]["uid"]]["jsonData"].get("timeInterval", "1s")
        least = max(seconds(source), seconds(self.panel.get("interval", "1s")))
        return max(least, self.range // _POINTS)

    @property
    def range(self) -> int:
        """Seconds that the panel looks back: as far as its dashboard, where it does not say."""
        return seconds(self.panel.get("timeFrom") or since(self.dashboard))

    def promql(self, chosen: Chosen) -> str:
        """PromQL with its variables filled in, as Grafana documents its own."""
        scrape = seconds(_sources()["prometheus"]["jsonData"]["timeInterval"])
        text = self.target["expr"].replace("$__range", f"{self.range}s")
        text = text.replace("$__rate_interval", f"{max(self.step + scrape, 4 * scrape)}s")
        for name, values in chosen.items():  # of the two, neither names several values
            text = text.replace(f"${name}", ".+" if values == ALL else values[0])
        return text

    def sql(self, chosen: Chosen, now: int) -> str:
        """SQL with variables and macros expanded, as version 4.20 of the plug-in does."""
        return expand(self.target["rawSql"], chosen, now, self.range, self.step)


def dashboards() -> dict[str, dict[str, Any]]:
    """uid -> a dashboard's JSON."""
    found = (json.loads(file.read_text()) for file in sorted(GRAFANA.glob("dashboards/*.json")))
    return {one["uid"]: one for one in found}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, those in folded rows too."""
    for row in dashboard["panels"]:
        if row["type"] != "row":
            yield row
        yield from row.get("panels", ())


def queries() -> list[Query]:
    """Every query of every panel."""
    return [
        Query(uid, panel, target)
        for uid, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def since(uid: str) -> str:
    """How far back a dashboard opens, such as 30d."""
    return str(dashboards()[uid]["time"]["from"].removeprefix("now-"))


def seconds(duration: str) -> int:
    """A duration as Grafana writes it."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def expand(sql: str, chosen: Chosen, now: int, range_: int, step: int) -> str:
    """Fill in a query's variables and macros; raises ValueError for one that is not known."""
    while (start := sql.find(_CONDITIONAL)) >= 0:
        condition, variable, end = _conditional(sql, start)
        sql = sql[:start] + ("1=1" if chosen[variable] == ALL else condition) + sql[end:]
    for name, values in chosen.items():
        quoted = ",".join("'" + one.replace("'", "\\'") + "'" for one in values)
        sql = sql.replace(f"${{{name}:singlequote}}", quoted).replace(f"${{{name}}}", values[0])
    begin = now - range_
    for macro, meaning in (
        (r"\$__timeFilter\((\w+)\)", rf"\1 >= toDateTime({begin}) AND \1 <= toDateTime({now})"),
        (
            r"\$__timeInterval\((\w+)\)",
            rf"toStartOfInterval(toDateTime(\1), INTERVAL {step} second)",
        ),
    ):
        sql = re.sub(macro, meaning, sql)
    if left := re.search(r"\$\{?\w+", sql):
        raise ValueError(f"{left[0]} is not filled in: {sql}")
    return sql


def _conditional(sql: str, start: int) -> tuple[str, str, int]:
    """(condition, name of the variable, where it ends) of a $__conditionalAll."""
    begin, depth, comma = start + len(_CONDITIONAL), 1, 0
    for at in range(begin, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if sql[at] == "," and depth == 1:
            comma = at
        if depth == 0:
            return sql[begin:comma], sql[comma + 1 : at].strip().removeprefix("$"), at + 1
    raise ValueError(f"a $__conditionalAll does not end: {sql}")


def variables(uid: str) -> list[dict[str, Any]]:
    """The variables of a dashboard."""
    found: list[dict[str, Any]] = dashboards()[uid]["templating"]["list"]
    return found


def listed(variable: dict[str, Any]) -> list[str]:
    """The values of a variable that lists them; none where a query finds them."""
    if variable["type"] != "custom":
        return []
    return [one.rpartition(" : ")[2] for one in variable["query"].split(", ")]


def chosen(
    uid: str, values: Callable[[dict[str, Any]], list[str]], *, narrow: bool = False
) -> dict[str, list[str] | str]:
    """What a dashboard opens with, given the values of its variables: all, or the first.

    With `narrow`, the first value of every variable.
    """
    return {
        one["name"]: ALL if one["multi"] and not narrow else values(one)[:1]
        for one in variables(uid)
    }


def _sources() -> dict[str, dict[str, Any]]:
    file = GRAFANA / "provisioning" / "datasources" / "journey.yaml"
    return {one["uid"]: one for one in yaml.safe_load(file.read_text())["datasources"]}
