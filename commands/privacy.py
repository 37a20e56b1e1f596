"""`journey export` and `journey erase`: what is held about a person, given out or removed."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import click
from clickhouse_driver import Client

from analytics.lookup import UnknownIdentifier
from commands.plain import plain
from commands.shell import Shell, bar, ledger, out, print_json, verb
from privacy.erasure import Receipt, begin, complete, unfinished, wait_until_read
from privacy.person import Person, counts, find_person, held


@click.command()
@click.argument("identifier")
@click.option("--out", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write there.")
@verb
def export(shell: Shell, identifier: str, file: Path | None) -> None:
    """Everything held about a person, as JSON: what `erase` would remove.

    The person is the customer that the identifier belongs to, with all its identifiers.
    """
    settings = shell.settings()
    with ledger(settings) as client:
        found = held(client, find_person(client, settings, identifier))
    if file is None:
        print_json(found)
    else:
        file.touch(mode=0o600)
        file.write_text(json.dumps(found, ensure_ascii=False, indent=2, default=str) + "\n")


@click.command()
@click.argument("identifier")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="The receipt as JSON.")
@verb
def erase(shell: Shell, identifier: str, yes: bool, as_json: bool) -> None:
    """Remove a person from every store, and leave a receipt that does not tell who it was.

    The person is the customer that the identifier belongs to, with all its identifiers; `journey
    identity show` lists them, and `journey identity unlink` separates what is somebody else's.
    An erasure that was broken off is completed first. docs/privacy.md tells what stays for how
    long.
    """
    settings = shell.settings()
    with ledger(settings) as client, bar() as progress:
        task = progress.add_task("erasing", total=None)

        def report(doing: str) -> None:
            progress.update(task, description=doing)

        done = [complete(client, settings, *begun, report) for begun in unfinished(client)]
        wait_until_read(settings, report)
        report("looking for what is held")
        try:
            person = find_person(client, settings, identifier)
        except UnknownIdentifier:
            if not done:
                raise
        else:
            progress.stop()
            if not yes:
                _ask(client, person)
            progress.start()
            erasure, now = uuid4(), datetime.now(UTC)
            begin(client, erasure, person, now)
            done.append(complete(client, settings, erasure, now, report))
    for receipt in done:
        _show(receipt, as_json)


def _ask(client: Client, person: Person) -> None:
    for name in person.identifiers:
        out.print(f"  {plain(name)}", highlight=False, soft_wrap=True, markup=False)
    for name in person.freed:
        out.print(
            f"  history of {plain(name)}, which others share",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    for store, rows in counts(client, person).items():
        if rows:
            out.print(f"  {store}: {rows:,} rows", highlight=False)
    click.confirm("Erase all of this, for good?", abort=True)


def _show(receipt: Receipt, as_json: bool) -> None:
    if as_json:
        print_json(asdict(receipt))
        return
    out.print(f"erased; receipt {receipt.id}", highlight=False)
    for store, rows in receipt.rows.items():
        out.print(f"  {store}: {rows:,} rows", highlight=False)
    out.print(
        f"off the database's disk by {receipt.database_clean_at:%Y-%m-%d %H:%M} UTC, "
        f"off Kafka's by {receipt.log_clean_at:%Y-%m-%d %H:%M} UTC",
        highlight=False,
    )
