"""Descriptions to Grafana's JSON, by its own SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    barchart,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphDrawStyle,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.panels import WIDTH, Column, Dashboard, Kind, Panel, Prom, Sql, Steps, Variable

TAG: Final = "journey"
# uids that deploy/grafana/provisioning/datasources gives
PROMETHEUS: Final = model.DataSourceRef("prometheus", "prometheus")
CLICKHOUSE: Final = model.DataSourceRef("grafana-clickhouse-datasource", "clickhouse")
CLICKHOUSE_PLUGIN: Final = "4.20.0"
_NOW: Final = frozenset({"stat", "bars", "table"})  # kinds that show the newest value only
_OVER_TIME: Final = frozenset({"lines", "stack"})
_PanelBuilder = (
    barchart.Panel
    | heatmap.Panel
    | stat.Panel
    | statetimeline.Panel
    | table.Panel
    | timeseries.Panel
)
_ALL: Final = model.VariableOption(selected=True, text="All", value="$__all")


def as_json(description: Dashboard) -> str:
    """The file that Grafana reads."""
    built = json.loads(JSONEncoder().encode(_dashboard(description).build()))
    _forget(built)
    return json.dumps(built, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _forget(built: dict[str, Any]) -> None:
    """Drop what the SDK for Grafana 10.1 writes and the schema of Grafana 12 has no more."""
    built.pop("style", None)
    for variable in built["templating"]["list"]:
        for name in ("id", "auto", "auto_min", "auto_count"):
            variable.pop(name, None)
    for row in built["panels"]:
        for panel in (row, *row.get("panels", ())):
            options = panel.get("options", {})
            options.pop("footer", None)
            options.get("tooltip", {}).pop("show", None)


def _dashboard(description: Dashboard) -> dashboard.Dashboard:
    found = (
        dashboard.Dashboard(description.title)
        .uid(f"journey-{description.name}")
        .description(description.says)
        .tags([TAG])
        .timezone("browser")
        .time(f"now-{description.since}", "now")
        .refresh(description.refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables([_variable(variable) for variable in description.variables])
        .link(
            dashboard.DashboardLink("Journey")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
        )
    )
    y = number = 0
    for row in description.rows:
        number += 1
        heading = dashboard.Row(row.title).id(number).collapsed(row.folded)
        heading = heading.grid_pos(model.GridPos(h=1, w=WIDTH, x=0, y=y))
        placed, end = _placed(row.panels, y + 1)
        y = y + 1 if row.folded else end
        panels = []
        for panel, at in placed:
            number += 1
            panels.append(_panel(panel, number, at))
        if row.folded:
            for built in panels:
                heading = heading.with_panel(built)
        found = found.with_row(heading)
        if not row.folded:
            for built in panels:
                found = found.with_panel(built)
    return found


def _placed(panels: Iterable[Panel], top: int) -> tuple[list[tuple[Panel, model.GridPos]], int]:
    """Panels from left to right, line after line, and where the next line begins."""
    x, y, tallest = 0, top, 0
    placed = []
    for panel in panels:
        if x + panel.width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        placed.append((panel, model.GridPos(h=panel.height, w=panel.width, x=x, y=y)))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return placed, y + tallest


def _panel(panel: Panel, number: int, at: model.GridPos) -> _PanelBuilder:
    found = _KINDS[panel.kind](panel)
    found.id(number)
    found.title(panel.title)
    found.description(panel.says)
    found.grid_pos(at)
    found.unit(panel.unit)
    found.datasource(PROMETHEUS if isinstance(panel.queries[0], Prom) else CLICKHOUSE)
    for name, query in zip("ABCDEFGH", list[Prom | Sql](panel.queries), strict=False):
        found.with_target(_target(query, name, panel.kind))
    found.thresholds(_thresholds(panel.steps or ((None, "green"),)))
    scheme = _scheme(panel)
    found.color_scheme(dashboard.FieldColor().mode(scheme))
    for value, tell in (
        (panel.least, found.min),
        (panel.most, found.max),
        (panel.decimals, found.decimals),
    ):
        if value is not None:
            tell(value)
    if panel.every:
        found.interval(panel.every)
    if panel.since:
        found.time_from(panel.since)
    if panel.empty:
        found.no_value(panel.empty)
    if panel.values:
        found.mappings([_mapping(panel.values)])
    for name, column in panel.columns.items():
        found.override_by_name(name, _column(column))
    for name, colour in panel.colours.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        found.override_by_name(name, [model.DynamicConfigValue("color", fixed)])
    return found


def _scheme(panel: Panel) -> model.FieldColorModeId:
    by_value = (panel.steps and panel.kind not in _OVER_TIME) or panel.values
    modes = model.FieldColorModeId
    return modes.THRESHOLDS if by_value else modes.PALETTE_CLASSIC


def _target(query: Prom | Sql, name: str, kind: Kind) -> Builder[Dataquery]:
    if isinstance(query, Sql):
        return ClickHouseQuery(query.text, name, over_time=kind in _OVER_TIME)
    found = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(name)
    found = found.instant() if kind in _NOW else found.range()
    if kind in {"table", "bars"}:
        return found.format(PromQueryFormat.TABLE)
    return found.format(PromQueryFormat.HEATMAP) if kind == "heatmap" else found


@dataclass(frozen=True, slots=True)
class ClickHouseQuery(Builder[Dataquery], Dataquery):
    """A query of the ClickHouse plug-in, which the SDK does not have: its `CHSqlQuery`."""

    sql: str
    name: str
    over_time: bool

    def build(self) -> Dataquery:
        """Itself: it is finished."""
        return self

    def to_json(self) -> dict[str, object]:
        """As the plug-in reads it; `format` is 0 for time series, 1 for a table."""
        return {
            "refId": self.name,
            "pluginVersion": CLICKHOUSE_PLUGIN,
            "editorType": "sql",
            "rawSql": self.sql,
            "queryType": "timeseries" if self.over_time else "table",
            "format": 0 if self.over_time else 1,
        }


def _stat(_: Panel) -> _PanelBuilder:
    return (
        stat.Panel()
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _series() -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    return (
        timeseries.Panel()
        .legend(legend.placement(LegendPlacement.BOTTOM).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .show_points(VisibilityMode.AUTO)
    )


def _lines(panel: Panel) -> _PanelBuilder:
    found = _series().fill_opacity(5)
    if panel.steps:
        style = common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
        found = found.thresholds_style(style)
    return found


def _stack(panel: Panel) -> _PanelBuilder:
    stacking = common.StackingConfig().mode(StackingMode.NORMAL).group("A")
    found = _series().stacking(stacking).line_width(1)
    if isinstance(panel.queries[0], Sql):  # sums of buckets, not a level that lasts
        return found.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
    return found.fill_opacity(40)


def _bars(_: Panel) -> _PanelBuilder:
    legend = common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.HIDDEN)
    return (
        barchart.Panel()
        .orientation(VizOrientation.HORIZONTAL)
        .show_value(VisibilityMode.AUTO)
        .stacking(StackingMode.NONE)
        .bar_width(0.8)
        .group_width(0.7)
        .legend(legend.placement(LegendPlacement.BOTTOM).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE))
    )


def _table(_: Panel) -> _PanelBuilder:
    return table.Panel().show_header(True).frame_index(0)


def _states(_: Panel) -> _PanelBuilder:
    legend = common.VizLegendOptions().show_legend(False).display_mode(LegendDisplayMode.HIDDEN)
    return (
        statetimeline.Panel()
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(80)
        .legend(legend.placement(LegendPlacement.BOTTOM).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.SINGLE))
    )


def _heatmap(_: Panel) -> _PanelBuilder:
    return heatmap.Panel().calculate(False).y_axis(heatmap.YAxisConfig().unit("s"))


_KINDS: Final[Mapping[Kind, Callable[[Panel], _PanelBuilder]]] = {
    "stat": _stat,
    "lines": _lines,
    "stack": _stack,
    "bars": _bars,
    "table": _table,
    "states": _states,
    "heatmap": _heatmap,
}


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    found = [model.Threshold(value, colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def _mapping(values: Mapping[str, tuple[str, str]]) -> model.ValueMapping:
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(values.items())
        }
    )


def _column(column: Column) -> list[model.DynamicConfigValue]:
    told: dict[str, Any] = {}
    if column.unit:
        told["unit"] = column.unit
    if column.decimals is not None:
        told["decimals"] = column.decimals
    if column.width:
        told["custom.width"] = column.width
    if column.steps:
        told["thresholds"] = _thresholds(column.steps).build()
        told["color"] = {"mode": "thresholds"}
        told["custom.cellOptions"] = {"type": "color-text"}
    return [model.DynamicConfigValue(name, value) for name, value in told.items()]


def _variable(variable: Variable) -> Builder[model.VariableModel]:
    if isinstance(variable.source, tuple):
        first = variable.source[0].rpartition(" : ")
        one = model.VariableOption(selected=True, text=first[0] or first[2], value=first[2])
        return (
            dashboard.CustomVariable(variable.name)
            .label(variable.label)
            .values(", ".join(variable.source))
            .multi(variable.many)
            .include_all(variable.many)
            .current(_ALL if variable.many else one)
        )
    found = (
        dashboard.QueryVariable(variable.name)
        .label(variable.label)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(variable.many)
        .include_all(variable.many)
    )
    if variable.many:
        found = found.current(_ALL)
    if isinstance(variable.source, Prom):
        return found.datasource(PROMETHEUS).query(variable.source.expr).all_value(".+")
    return found.datasource(CLICKHOUSE).query(variable.source.text)
