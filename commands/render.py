"""Tables and summaries for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analytics.standing import Standing
from analytics.surveys import Period
from deploy.local.demo import Outcome
from schemas.outcome import AccountHealth

COLOURS = {"red": "red", "amber": "yellow", "green": "green"}
_BANDS = ((51, "red"), (76, "yellow"), (101, "green"))  # the policy's defaults
_BAR = 20


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


def show_accounts(out: Console, found: Sequence[AccountHealth]) -> None:
    """Every account, a line each, and why it stands where it does."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Account", "Health", "Contacts", "Of them", "Why"):
        table.add_column(name, justify="right" if name in ("Health", "Contacts") else "left")
    for one in found:
        bands = ", ".join(f"{n} {band}" for band, n in one.bands.items())
        table.add_row(
            escape(one.account),
            f"[{COLOURS[one.band]}]{one.health} {one.band}[/]",
            f"{one.contacts:,}",
            bands,
            escape("; ".join(one.reasons[1:])),
        )
    out.print(table)


def show_surveys(out: Console, found: Sequence[Period]) -> None:
    """NPS, CSAT and CES of every period, with how many answered."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("From", "NPS", "Answers", "CSAT", "Answers", "CES", "Easy", "Answers"):
        table.add_column(name, justify="left" if name == "From" else "right")
    for one in found:
        measures, answers = one.measures, one.measures.answers
        table.add_row(
            one.start.isoformat(),
            _figure(measures.nps, "+.0f"),
            f"{answers['nps']:,}",
            _figure(measures.csat, ".0f", "%"),
            f"{answers['csat']:,}",
            _figure(measures.ces, ".2f"),
            _figure(measures.ces_easy, ".0f", "%"),
            f"{answers['ces']:,}",
        )
    out.print(table)


def show_status(out: Console, report: dict[str, Any]) -> None:
    """Processes, lag, counts and dead letters."""
    ready = "[green]ready[/green]" if report["ready"] else "[red]not ready[/red]"
    told = "; ".join(f"{name} is away" for name in report["away"])
    if "touchpoints" in report:
        told = (
            f"{report['touchpoints']:,} touchpoints of {report['customers']:,} customers, "
            f"{report['touchpoints_per_minute']:,} in the last minute"
        ) + (f"; {told}" if told else "")
    out.print(f"{ready}   {told}", highlight=False)
    for why in report["away"].values():
        out.print(f"[red]{escape(why)}[/red]", highlight=False, soft_wrap=True)
    if report["processes"]:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("Process", "Pid", "State", "Restarts", "URL", "Why"):
            table.add_column(name)
        for name, process in report["processes"].items():
            port = process["metrics_port"]
            where = process["url"] or (f"http://127.0.0.1:{port}/metrics" if port else "")
            restarts = str(process["restarts"] or "")
            why = escape(process["why"])
            table.add_row(name, str(process["pid"]), _state(process), restarts, where, why)
        out.print(table)
    if "lag" in report:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("Group")
        table.add_column("Topic")
        table.add_column("Lag", justify="right")
        for row in report["lag"]:
            table.add_row(row["group"], row["topic"], f"{row['records']:,}")
        out.print(table)
    if "touchpoints" in report:
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


def _state(process: dict[str, Any]) -> str:
    if process["ready"]:
        return "live, ready"
    return "[red]live, not ready[/red]" if process["live"] else "[red]not live[/red]"


def _figure(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"


def _counts(out: Console, title: str, counts: dict[str, int]) -> None:
    told = ", ".join(f"{escape(name)} {n:,}" for name, n in counts.items()) or "none"
    out.print(f"{title}: {told}", highlight=False)


def _health(score: int) -> str:
    colour = next(colour for below, colour in _BANDS if score < below)
    return f"[{colour}]{score}[/{colour}]"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "–"
