"""Tables and summaries for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analytics.standing import Standing
from analytics.timeline import Moment, Timeline
from deploy.local.demo import Outcome

_BANDS = ((50, "red"), (75, "yellow"), (101, "green"))
_BAR = 24


def show_funnel(out: Console, steps: Sequence[tuple[str, int]]) -> None:
    """A funnel with the share of the first step and of the step before."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Step")
    table.add_column("Customers", justify="right")
    table.add_column("Of first", justify="right")
    table.add_column("Of previous", justify="right")
    table.add_column("")
    first = steps[0][1]
    previous = first
    for step, customers in steps:
        table.add_row(
            escape(step),
            f"{customers:,}",
            _share(customers, first),
            _share(customers, previous),
            f"[cyan]{'█' * round(_BAR * customers / first) if first else ''}[/cyan]",
        )
        previous = customers
    out.print(table)


def show_customers(out: Console, found: Iterable[Standing]) -> None:
    """Every customer, a line each."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Customer", "Health", "Sentiment", "Distress", "Touchpoints", "Identifiers"):
        table.add_column(name, justify="left" if name in ("Customer", "Identifiers") else "right")
    for one in found:
        others = [name for name in one.identifiers if name != one.customer]
        table.add_row(
            escape(one.customer),
            _health(one.health.score),
            f"{one.health.sentiment / 1000:+.2f}",
            f"{one.health.distress / 1000:.2f}",
            f"{one.touchpoints:,}",
            escape(", ".join(others[:3]) + (f" and {len(others) - 3} more" if others[3:] else "")),
        )
    out.print(table)


def show_customer(out: Console, one: Standing, line: Timeline, as_of_ms: int) -> None:
    """Health with its reasons and components, and the timeline by sessions."""
    health = one.health
    out.print(f"[bold]{escape(one.customer)}[/bold] as of {_clock(as_of_ms)}")
    others = [name for name in one.identifiers if name != one.customer]
    if others:
        out.print(f"also {escape(', '.join(others))}")
    out.print(
        f"\nHealth {_health(health.score)}   sentiment {health.sentiment / 1000:+.2f}   "
        f"distress {health.distress / 1000:.2f}   touchpoints {one.touchpoints:,}\n"
    )
    for reason in health.reasons():
        out.print(f"  {escape(reason)}")
    if health.causes:
        out.print(f"  distress by {escape(', '.join(health.causes))}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Component", "Value", "Weight", "Points"):
        table.add_column(name, justify="left" if name == "Component" else "right")
    for component in health.components:
        table.add_row(
            component.name,
            f"{component.value:.2f}",
            f"{component.weight:.1f}",
            f"{component.contribution:.1f}",
        )
    out.print(table)
    for session in line.sessions:
        out.print(f"[dim]{session.started:%Y-%m-%d %H:%M} UTC[/dim]")
        for moment in session.moments:
            _show_moment(out, moment)


def show_status(out: Console, report: dict[str, Any]) -> None:
    """Processes, lag, counts and dead letters."""
    ready = "[green]ready[/green]" if report["ready"] else "[red]not ready[/red]"
    out.print(
        f"{ready}   {report['touchpoints']:,} touchpoints of {report['customers']:,} customers, "
        f"{report['touchpoints_per_minute']:,} in the last minute"
    )
    if report["processes"]:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("Process", "Pid", "State", "Metrics"):
            table.add_column(name)
        for name, process in report["processes"].items():
            state = "ready" if process["ready"] else "[red]not ready[/red]"
            port = process["metrics_port"]
            where = f"http://127.0.0.1:{port}/metrics" if port else ""
            table.add_row(name, str(process["pid"]), state, where)
        out.print(table)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("Group")
    table.add_column("Topic")
    table.add_column("Lag", justify="right")
    for row in report["lag"]:
        table.add_row(row["group"], row["topic"], f"{row['records']:,}")
    out.print(table)
    _counts(out, "Dead letters", report["dead_letters"])
    _counts(out, "Outreach", report["outreach"])


def show_demo(out: Console, outcome: Outcome) -> None:
    """The summary of a demonstration."""
    counts, latency = outcome.counts, outcome.latency_ms
    verdict = "[green]exact[/green]" if outcome.exact else "[red]NOT EXACT[/red]"
    out.print(
        f"\n[bold]{counts.sent:,} touchpoints sent[/bold]: {counts.valid:,} unique, "
        f"{counts.duplicates:,} duplicates, {counts.malformed:,} malformed"
    )
    out.print(
        f"stored {outcome.stored:,}, counted {outcome.counted:,}, "
        f"dead letters {outcome.dead_letters:,}: {verdict}"
    )
    out.print(
        f"{outcome.customers:,} customers in {outcome.seconds:.1f} s, "
        f"{counts.sent / outcome.seconds:,.0f} touchpoints/s, "
        f"latency p50 {latency['p50']:,.0f} ms, p99 {latency['p99']:,.0f} ms"
    )
    _counts(out, "\nTouchpoints by channel", outcome.channels)
    out.print("\n[bold]Funnel, 30 days[/bold]")
    show_funnel(out, [(step["step"], step["customers"]) for step in outcome.funnel])
    out.print("[bold]Least healthy customers[/bold]")
    for one in outcome.least_healthy:
        account = f" of {one['account']}" if one["account"] else ""
        out.print(
            f"  {_health(one['health'])}  {escape(one['customer'] + account)}  "
            f"[dim]{escape('; '.join(one['reasons']))}[/dim]",
            soft_wrap=True,
        )
    _counts(out, "\nOutreach before the complaint", outcome.outreach)


def _show_moment(out: Console, moment: Moment) -> None:
    told = {k: v for k, v in moment.fields.items() if k != "page"}
    if "promised_at" in told:
        told["promised_at"] = _clock(int(told["promised_at"]))
    if moment.amount_minor:
        told["amount"] = f"{moment.amount_minor / 100:,.2f} {moment.currency}"
    details = " ".join(f"{name}={value}" for name, value in told.items())
    mood = f"  [dim]{moment.sentiment / 1000:+.2f}[/dim]" if moment.text else ""
    text = f"  “{escape(moment.text)}”" if moment.text else ""
    out.print(
        f"  {moment.occurred_at:%H:%M:%S}  [cyan]{moment.channel}:{moment.type}[/cyan]"
        f"  {escape(details)}{text}{mood}",
        highlight=False,
        soft_wrap=True,
    )


def _counts(out: Console, title: str, counts: dict[str, int]) -> None:
    told = ", ".join(f"{escape(name)} {n:,}" for name, n in counts.items()) or "none"
    out.print(f"{title}: {told}", highlight=False)


def _health(score: int) -> str:
    colour = next(colour for below, colour in _BANDS if score < below)
    return f"[{colour}]{score}[/{colour}]"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"


def _clock(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
