"""What a dashboard is made of: rows of panels, each with its queries, unit and thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from streams.core.policy import Policy

Kind = Literal["stat", "lines", "stack", "bars", "table", "states", "heatmap"]
# (from this value on, colour); the first begins at None: below everything
Steps = tuple[tuple[float | None, str], ...]

# Of panels that show metrics on a dashboard of weeks, which would ask for a point each half hour.
LIVE: Final = "3h"
WIDTH: Final = 24  # columns of Grafana's grid


def rising(amber: float, red: float) -> Steps:
    """Thresholds of what is bad when it is high."""
    return (None, "green"), (amber, "orange"), (red, "red")


def falling(amber: float, green: float) -> Steps:
    """Thresholds of what is bad when it is low."""
    return (None, "red"), (amber, "orange"), (green, "green")


_POLICY: Final = Policy()
# The default bands: red to 50, amber to 75. Health is a whole number.
BANDS: Final = falling(_POLICY.red + 1, _POLICY.amber + 1)
BAND_COLOURS: Final = {"red": "red", "amber": "orange", "green": "green"}
DISTRESSED: Final = 400  # milli-units, where the shipped rules begin to act
DISTRESS: Final = rising(DISTRESSED, 700)


@dataclass(frozen=True, slots=True)
class Prom:
    """PromQL. `legend` names a series by its labels, as `{{agent}}`; all of them must be there."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Sql:
    """SQL of ClickHouse. For lines and stacks: a time in order, a name at most, then numbers."""

    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """How a table shows one column; no unit leaves text and numbers as they are."""

    unit: str = ""
    steps: Steps = ()
    width: int = 0
    decimals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `unit` is Grafana's id of it; `every` the least width of a bucket of time."""

    kind: Kind
    title: str
    says: str  # what it tells and when to worry
    queries: tuple[Prom, ...] | tuple[Sql, ...]
    unit: str = "short"
    width: int = 8
    height: int = 6
    steps: Steps = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)  # series -> colour
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # value -> text, colour
    least: float | None = None
    most: float | None = None
    decimals: int | None = None
    every: str = ""
    since: str = ""  # where it looks back less far than its dashboard
    empty: str = ""  # shown in place of "No data", where nothing is good news


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading; a folded row is opened by a click."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice at the top of a dashboard: of listed values, or of what a query finds.

    Listed values are `value` or `label : value`. With `many`, any number of them, or all.
    """

    name: str
    label: str
    source: tuple[str, ...] | Prom | Sql
    many: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard; `since` is how far back it opens, `refresh` how often it asks again."""

    name: str  # of its file; its uid is journey-<name>
    title: str
    says: str
    since: str
    refresh: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
