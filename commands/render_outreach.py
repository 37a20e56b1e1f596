"""Outreach for people: the log, a rule file on history, and the effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analytics.outreach import Logged
from schemas.outcome import OutreachDecision, Status
from streams.core.effect import CONFIDENCE, SMALL, Effect, Group, Interval
from streams.core.guard import CHECKS


def show_log(out: Console, found: Sequence[Logged] | Sequence[OutreachDecision]) -> None:
    """Decisions, a line each."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("At", "Customer", "Rule", "Channel", "Decision", "Outcome", "Why"):
        table.add_column(name)
    for one in found:
        table.add_row(
            _moment(one.decided_ms),
            escape(one.customer),
            one.rule,
            one.channel,
            "[green]taken[/green]" if one.taken else escape(f"{one.suppressed_by}: {one.detail}"),
            escape(_outcome(one)),
            escape(one.why),
        )
    out.print(table)


def show_backtest(
    out: Console,
    rules: Sequence[str],
    told: Counter[tuple[str, str]],
    last: Sequence[OutreachDecision],
    since_ms: int,
    until_ms: int,
) -> None:
    """Counts by rule and reason, and the newest decisions. `told` counts (rule, suppressed by)."""
    out.print(f"{_moment(since_ms)} to {_moment(until_ms)} UTC", highlight=False)
    seen = [name for name in CHECKS if any(told[rule, name] for rule in rules)]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Rule")
    for name in ("Taken", *seen):
        table.add_column(name, justify="right")
    for rule in rules:
        table.add_row(rule, *(f"{told[rule, name]:,}" for name in ("", *seen)))
    out.print(table)
    if last:
        show_log(out, list(reversed(last)))


def show_effect(out: Console, found: Effect, days: int) -> None:
    """The two groups, the differences with their intervals, and what may be concluded."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Group", "Customers", "Change of health", f"Not back within {days} days"):
        table.add_column(name, justify="left" if name == "Group" else "right")
    for name, group in (("reached", found.reached), ("held out", found.held_out)):
        table.add_row(name, f"{group.customers:,}", *_group(group))
    out.print(table)
    if found.health is None or found.left is None:
        out.print(
            f"Too few to tell: each group needs {SMALL} customers whose {days} days are over.",
            highlight=False,
        )
        return
    left = Interval(*(100 * bound for bound in found.left))
    out.print(_verdict("Health", found.health, "points", more_is_better=True), highlight=False)
    out.print(
        _verdict("Not back", left, "percentage points", more_is_better=False), highlight=False
    )


def _group(group: Group) -> tuple[str, str]:
    if not group.customers:
        return "–", "–"
    return f"{group.change:+.1f}", f"{group.left / group.customers:.1%}"


def _verdict(name: str, found: Interval, unit: str, more_is_better: bool) -> str:
    told = (
        f"{name}: {found.estimate:+.1f} {unit} "
        f"({CONFIDENCE:.0%} interval {found.low:+.1f} to {found.high:+.1f}): "
    )
    if not found.excludes_zero:
        return told + "no difference shown"
    return told + ("better" if (found.estimate > 0) == more_is_better else "worse")


def _outcome(one: Logged | OutreachDecision) -> str:
    """What became of a decision, with why and the attempts where there is more to say."""
    if isinstance(one, OutreachDecision) or not one.outcome:
        return ""
    more = [one.outcome_detail] if one.outcome_detail and one.outcome != Status.SENT else []
    if one.attempts > 1:
        more.append(f"{one.attempts} attempts")
    return f"{one.outcome} ({', '.join(more)})" if more else one.outcome


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
