"""`journey size`: what a rate of touchpoints needs of everything."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite

import click
from rich.table import Table

from commands.shell import Refused, Shell, out, print_json, verb
from streams.core.sizing import Load, Size, TooLarge, size

_MOST: click.FloatRange = click.FloatRange(min=0, min_open=True, max=10_000_000)


@click.command("size")
@click.option(
    "--touchpoints-per-second", "peak", type=_MOST, required=True, help="At the busiest minute."
)
@click.option("--average", type=_MOST, help="A second over the whole day; else a third of that.")
@click.option(
    "--customers",
    type=click.IntRange(1, 10**10),
    default=1_000_000,
    show_default=True,
    help="Customers known after all the days kept.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(1, 36_500),
    default=730,
    show_default=True,
    help="How long the ledger is kept.",
)
@click.option(
    "--partitions", type=click.IntRange(1, 1_024), help="Of the topics, where they exist already."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@verb
def size_(
    _shell: Shell,
    peak: float,
    average: float | None,
    customers: int,
    keep_days: int,
    partitions: int | None,
    as_json: bool,
) -> None:
    """Brokers, partitions, workers, sinks and shards that touchpoints need, with their disks.

    By the figures that docs/sizing.md tells of, at half of what was measured to be possible.
    """
    if not isfinite(peak) or (average is not None and not isfinite(average)):
        raise Refused(f"--touchpoints-per-second {peak:g}, --average {average}: give numbers")
    if average is not None and average > peak:
        raise Refused(f"--average {average:g} is over --touchpoints-per-second {peak:g}")
    load = Load(peak, peak / 3 if average is None else average, customers, keep_days, partitions)
    try:
        found = size(load)
    except TooLarge as error:
        raise Refused(str(error)) from None
    if as_json:
        print_json(
            {
                "partitions": found.partitions,
                "parts": [asdict(part) for part in found.parts],
                "log_gb_per_day": found.log_gb_per_day,
                "ledger_gb_per_day": found.ledger_gb_per_day,
                "bottleneck": found.bottleneck.name,
                "ceiling": found.bottleneck.carries,
            }
        )
    else:
        _show(found)


def _show(found: Size) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("part", "how many", "cores", "memory", "disk", "why"):
        table.add_column(title, justify="left" if title in {"part", "why"} else "right")
    table.add_row("partition", f"{found.partitions:,}", "", "", "", "of each topic; fixed for good")
    for part in found.parts:
        table.add_row(
            part.name,
            f"{part.count:,}",
            f"{part.cores:g}",
            f"{part.memory_gb:g} GB",
            f"{part.disk_gb:g} GB" if part.disk_gb else "",
            part.why,
        )
    out.print(table)
    out.print(
        f"A day writes {found.log_gb_per_day:,.1f} GB to Kafka and {found.ledger_gb_per_day:,.1f} "
        f"GB to the ledger, replicas included. First to be full: {found.bottleneck.name}, at "
        f"{found.bottleneck.carries:,.0f} touchpoints a second.",
        highlight=False,
        soft_wrap=True,
    )
