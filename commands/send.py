"""`journey import` and `journey schema`: touchpoints in, and their contract."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from commands.shell import Refused, Shell, bar, err, ledger, out, print_json, verb
from producers.importer import ImportReport, import_file
from producers.mapping import load_mapping
from producers.publisher import Publisher
from schemas.settings import Settings
from schemas.touchpoint import json_schema
from sinks.shards import reload_identities
from streams.cluster import wait_until_read

_PATIENCE = 300.0


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "format_", type=click.Choice(["ndjson", "csv"]), help="Else by --map.")
@click.option(
    "--map", "map_", type=click.Path(exists=True, path_type=Path), help="Columns to fields."
)
@click.option("--wait", is_flag=True, help="Return when everything imported can be queried.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@verb
def import_(
    shell: Shell,
    file: Path,
    format_: Literal["ndjson", "csv"] | None,
    map_: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Send a file of touchpoints: NDJSON, or CSV with a column map in TOML.

    Bad lines are listed with their number and go to dead letters; they do not stop the import,
    and the exit code stays 0. Where Kafka goes away meanwhile, it is waited for up to five minutes.
    """
    settings = shell.settings()
    mapping = load_mapping(map_) if map_ else None
    began = time.monotonic()
    doing, told = f"importing {file.name} (bytes)", False
    with bar() as progress:
        task = progress.add_task(doing, total=file.stat().st_size)

        def waiting(seconds: float) -> None:
            nonlocal told
            fault = "Kafka takes nothing, waiting for it"
            progress.update(task, description=f"{fault} ({seconds:.0f} s of {_PATIENCE:.0f})")
            if progress.disable and not told:
                err.print(fault, highlight=False)
            told = True

        with Publisher(settings, timeout=_PATIENCE, waiting=waiting) as publisher:
            report = import_file(
                file,
                publisher,
                settings,
                datetime.now(UTC),
                format_,
                mapping,
                lambda done, total: progress.update(
                    task, description=doing, completed=done, total=total
                ),
            )
    if wait:
        wait_for_pipeline(settings)
        with ledger(settings) as client:
            reload_identities(client)
    seconds = time.monotonic() - began
    for line in report.rejected:
        err.print(line, highlight=False, soft_wrap=True, markup=False)
    _show(report, seconds, as_json, wait)


@click.command()
@verb
def schema(_shell: Shell) -> None:
    """Print the JSON Schema of a touchpoint."""
    print_json(json_schema())


def wait_for_pipeline(settings: Settings) -> None:
    """Wait until all that was sent can be queried; refused where nothing moves for minutes."""
    with bar() as progress:
        task = progress.add_task("waiting for the pipeline", total=None)

        def told(behind: int) -> None:
            progress.update(task, description=f"waiting for the pipeline: {behind:,} to go")

        left = wait_until_read(settings, told, _PATIENCE)
    if left:
        raise Refused(f"{left:,} records wait unread and nothing moves: see `journey status`")


def _show(report: ImportReport, seconds: float, as_json: bool, waited: bool) -> None:
    if as_json:
        print_json(
            {
                "lines": report.lines,
                "published": report.published,
                "unique": report.unique,
                "rejected": dict(report.reasons),
                "seconds": round(seconds, 2),
            }
        )
        return
    bad = sum(report.reasons.values())
    out.print(
        f"{report.published:,} touchpoints of {report.lines:,} lines "
        f"{'imported' if waited else 'sent'} in {seconds:.1f} s",
        highlight=False,
    )
    if bad:
        shown = f", the first {len(report.rejected)} above" if bad > len(report.rejected) else ""
        out.print(f"{bad:,} bad lines are in dead letters{shown}", highlight=False)
