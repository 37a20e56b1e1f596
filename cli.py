"""The `journey` command: its verbs, and what they have in common."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from commands import (
    acls,
    dead,
    identity,
    inspect,
    local,
    model,
    operate,
    outreach,
    privacy,
    reconcile,
    rules,
    send,
    size,
    topics,
)
from commands.shell import Shell


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the local stack.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(context: click.Context, data: Path | None, debug: bool) -> None:
    """Customer journeys: touchpoints in, journeys, health and outreach out.

    Verbs find Kafka and ClickHouse by JOURNEY_* settings, or by the data folder of a local stack.
    """
    for client in ("aiokafka", "clickhouse_driver", "kafka"):
        # Their failures reach people as our one line; without a handler they would be printed.
        logging.getLogger(client).addHandler(logging.NullHandler())
    context.obj = Shell(data=data, debug=debug)


for command in (
    local.up,
    local.demo,
    send.import_,
    send.schema,
    inspect.funnel,
    inspect.customer,
    inspect.customers,
    inspect.accounts,
    inspect.survey,
    inspect.status,
    model.fit_value,
    model.rescore,
    identity.identity,
    reconcile.reconcile,
    privacy.export,
    privacy.erase,
    dead.dead,
    rules.rules,
    outreach.outreach,
    operate.setup,
    topics.topics,
    operate.worker,
    operate.sink,
    operate.receive,
    operate.dispatch,
    operate.rebuild,
    size.size_,
    acls.acls,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
