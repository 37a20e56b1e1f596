"""The figures of a run: for people as tables, for machines as JSON."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.faults.compare import Comparison
from tests.faults.progress import Recovery

Figures = dict[str, Any]


def recovery_table(recoveries: list[Recovery]) -> list[Figures]:
    """By kind, seconds until made good: from the injection, and from the end of the fault."""
    kinds = defaultdict(list)
    for recovery in recoveries:
        kinds[recovery.kind].append(recovery)
    return [_row(kind, kinds[kind]) for kind in sorted(kinds)] + [_row("all", recoveries)]


def timeline(recoveries: list[Recovery], began: float) -> list[Figures]:
    """Every fault: seconds into the run when it came, was over, and was made good."""
    return [
        {
            "kind": recovery.kind,
            "parts": list(recovery.parts),
            "injected": round(recovery.injected - began, 1),
            "healed": round(recovery.healed - began, 1) if recovery.healed else None,
            "recovered": round(recovery.recovered - began, 1) if recovery.recovered else None,
        }
        for recovery in recoveries
    ]


def _row(kind: str, found: list[Recovery]) -> Figures:
    done = [recovery for recovery in found if recovery.recovered]
    return {
        "kind": kind,
        "count": len(found),
        "not_recovered": len(found) - len(done),
        "from_injection": spread([r.recovered - r.injected for r in done]),
        "from_healing": spread([r.recovered - r.healed for r in done]),
    }


def spread(seconds: list[float]) -> Figures:
    """Median, 95th percentile (nearest rank) and maximum; nulls where there are none."""
    ordered = sorted(seconds)

    def rank(share: float) -> float | None:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 1) if ordered else None

    return {"median": rank(0.5), "p95": rank(0.95), "max": rank(1.0)}


def show(out: Console, figures: Figures) -> None:
    """Both tables and the verdict."""
    table = Table("fault", "count", title="Recovery, seconds from injection / from healing")
    for name in ("median", "p95", "max"):
        table.add_column(name, justify="right")
    for row in figures["recovery"]:
        both = [
            f"{_told(row['from_injection'][name])} / {_told(row['from_healing'][name])}"
            for name in ("median", "p95", "max")
        ]
        table.add_row(row["kind"], str(row["count"]), *both)
    out.print(table)
    table = Table("what", title="Against the oracle")
    for name in ("expected", "found", "lost", "doubled", "different"):
        table.add_column(name, justify="right")
    for row in figures["checks"]:
        table.add_row(row["name"], *(f"{row[c.header]:,}" for c in table.columns[1:]))
    out.print(table)
    for row in figures["checks"]:
        for example in row["examples"]:
            out.print(f"{row['name']}: {example}", markup=False, highlight=False, soft_wrap=True)


def _told(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f}"


def checks_table(comparisons: list[Comparison]) -> list[Figures]:
    """The comparisons as rows."""
    return [
        {
            "name": c.name,
            "expected": c.expected,
            "found": c.found,
            "lost": c.lost,
            "doubled": c.doubled,
            "different": c.different,
            "examples": c.examples,
        }
        for c in comparisons
    ]
