"""`journey setup`, `worker`, `sink`, `dispatch`, `receive`, `rebuild`: what servers run."""

from __future__ import annotations

import click

import alerts.receiver
import sinks.consumer
import sinks.outreach
import streams.app
from commands.shell import Refused, Shell, bar, ledger, out, verb
from deploy.local.restore import ledger_size, restore
from sinks.clickhouse import prepare
from sinks.dispatch.endpoints import load_endpoints
from streams.cluster import declare, is_empty


@click.command()
@verb
def setup(shell: Shell) -> None:
    """Declare the topics and migrate the database; what exists stays."""
    settings = shell.settings()
    created = declare(settings)
    applied = prepare(settings.clickhouse.get_secret_value(), settings.clickhouse_cluster)
    out.print(f"topics created: {', '.join(created) or 'none'}", highlight=False)
    out.print(f"migrations applied: {', '.join(applied) or 'none'}", highlight=False)


@click.command()
@verb
def worker(_shell: Shell) -> None:
    """Run a worker: resolve, identity, stitch and guard."""
    raise SystemExit(streams.app.main())


@click.command()
@verb
def sink(_shell: Shell) -> None:
    """Run a sink: topics to ClickHouse."""
    raise SystemExit(sinks.consumer.main())


@click.command()
@click.option("--check", is_flag=True, help="Read the endpoints file and end.")
@verb
def dispatch(shell: Shell, check: bool) -> None:
    """Run a dispatcher: what the guard has taken, to the endpoints of JOURNEY_ENDPOINTS_FILE."""
    if check:
        found = load_endpoints(sinks.outreach.endpoints_file(shell.settings()))
        out.print(f"channels: {', '.join(sorted(found.model_fields_set))}", highlight=False)
        return
    raise SystemExit(sinks.outreach.main())


@click.command()
@verb
def receive(_shell: Shell) -> None:
    """Run the receiver of Alertmanager's webhook: alerts on customers to outreach."""
    raise SystemExit(alerts.receiver.main())


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@verb
def rebuild(shell: Shell, yes: bool) -> None:
    """Rebuild identity and live state from the ledger, after Kafka lost its topics.

    Stop the workers first. The topics must be empty: run `journey setup` on the new cluster.
    """
    settings = shell.settings()
    if not is_empty(settings):
        raise Refused("the topics are not empty: rebuild writes to fresh ones only")
    with ledger(settings):
        rows = ledger_size(settings)
    if not yes:
        click.confirm(f"Rebuild state from {rows:,} rows of the ledger?", abort=True)
    with bar() as progress:
        task = progress.add_task("rebuilding", total=rows)
        done = restore(settings, lambda n: progress.update(task, completed=n))
    out.print(f"state of {done:,} touchpoints rebuilt; start the workers", highlight=False)
