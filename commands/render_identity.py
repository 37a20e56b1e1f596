"""Identity for people: why identifiers are one customer's, and which links were not applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.outcome import Action, Link
from streams.core.explanation import Explanation
from streams.core.identity import Conflict


def show_explanation(out: Console, found: Explanation) -> None:
    """A customer's identifiers, what holds them together and what does not."""
    out.print(f"[bold]{escape(found.customer)}[/bold]", highlight=False)
    for member in found.members:
        out.print(f"  {escape(member)}", highlight=False, soft_wrap=True)
    _links(out, "Held together by", found.links)
    _links(out, "Withdrawn", found.withdrawn)
    if found.not_bridging:
        out.print("[bold]Joins nobody[/bold]")
        for identifier, why in found.not_bridging.items():
            out.print(f"  {escape(identifier)}: {escape(why)}", highlight=False, soft_wrap=True)
    if found.conflicts:
        out.print("[bold]Not applied, since both sides have a customer id[/bold]")
        for conflict in found.conflicts:
            out.print(f"  {_told(conflict)}", highlight=False, soft_wrap=True)


def show_conflicts(out: Console, conflicts: Sequence[Conflict]) -> None:
    """Conflicts, a line each, and what to do about them."""
    if not conflicts:
        out.print("no conflicts")
        return
    for conflict in conflicts:
        out.print(_told(conflict), highlight=False, soft_wrap=True)
    out.print(
        f"\n{len(conflicts):,} links join two customers and were not applied. Are they one person? "
        "journey identity link CUSTOMER CUSTOMER --reason …",
        highlight=False,
        soft_wrap=True,
    )


def _told(conflict: Conflict) -> str:
    link = conflict.link
    customers = f"{conflict.customer_a} and {conflict.customer_b}"
    return escape(f"{customers}: {link.a} with {link.b}, {_evidence(link)}")


def _links(out: Console, title: str, links: Iterable[Link]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("Identifier")
    table.add_column("Identifier")
    table.add_column("Evidence")
    for link in links:
        table.add_row(escape(link.a), escape(link.b), escape(_evidence(link)))
    if table.row_count:
        out.print(table)


def _evidence(link: Link) -> str:
    moment = f"{datetime.fromtimestamp(link.occurred_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    if link.action is Action.SEEN:
        return f"seen on {link.source} {moment}, event {link.event_id}"
    done = "joined" if link.action is Action.JOIN else "withdrawn"
    return f"{done} by {link.source} {moment}: {link.reason}"
