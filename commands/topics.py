"""`journey topics`: the topics declared, and the cluster's compared with that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from commands.shell import Refused, Shell, out, print_json, verb
from streams.cluster import declare
from streams.declaration import (
    PARTITIONS,
    REPLICAS,
    Difference,
    FoundTopic,
    differences,
    examine,
    set_back,
)

_ADVICE: Final = {
    PARTITIONS: "The number of partitions is not changed: a key's partition comes from it, so keys "
    "would leave their state behind. Set JOURNEY_PARTITIONS to what is there; or stop everything, "
    "delete the topics, `journey setup` and `journey rebuild`.",
    REPLICAS: "Replicas are moved with Kafka's own kafka-reassign-partitions.",
    "": "`journey topics --apply` sets the options back.",
}


@click.command()
@click.option("--check", is_flag=True, help="Create nothing.")
@click.option("--apply", is_flag=True, help="Set options that differ back to what is declared.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
@verb
def topics(shell: Shell, check: bool, apply: bool, as_json: bool) -> None:
    """Create the topics that are missing, and show where the others are not as declared.

    Exit code 0 where all is as declared, 1 where something differs. The number of partitions is
    JOURNEY_PARTITIONS, that of replicas JOURNEY_REPLICATION.
    """
    if check and apply:
        raise Refused("--check changes nothing and --apply does: choose one")
    settings = shell.settings()
    created = [] if check else declare(settings)
    found = examine(settings)
    differing = differences(found, settings)
    if apply and any(each.is_option for each in differing):
        set_back(settings, differing)
        found = examine(settings)
        differing = differences(found, settings)
    if as_json:
        print_json(_as_json(found, differing, created))
    else:
        _show(found, differing, created)
    raise SystemExit(1 if differing else 0)


def _as_json(
    found: Sequence[FoundTopic], differing: Sequence[Difference], created: Collection[str]
) -> dict[str, Any]:
    of: dict[str, list[dict[str, str]]] = defaultdict(list)
    for each in differing:
        of[each.topic].append({"name": each.name, "declared": each.declared, "found": each.found})
    return {
        "as_declared": not differing,
        "topics": [
            {
                "topic": each.topic.name,
                "key": each.topic.key,
                "partitions": each.partitions,
                "replicas": each.replicas,
                "config": each.config,
                "created": each.topic.name in created,
                "differences": of[each.topic.name],
            }
            for each in found
        ],
    }


def _show(
    found: Sequence[FoundTopic], differing: Sequence[Difference], created: Collection[str]
) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Topic", "Key", "Partitions", "Replicas", "Kept", ""):
        table.add_column(name, justify="right" if name in {"Partitions", "Replicas"} else "left")
    wrong = {each.topic for each in differing}
    for each in found:
        topic = each.topic
        state = "[red]differs[/red]" if topic.name in wrong else "as declared"
        table.add_row(
            topic.name,
            topic.key,
            str(each.partitions),
            str(each.replicas),
            "compacted" if topic.compacted else f"{topic.retention_days} days",
            "created" if topic.name in created and topic.name not in wrong else state,
        )
    out.print(table)
    for difference in differing:
        out.print(
            f"{difference.topic}: {difference.name} is {difference.found}, "
            f"declared {difference.declared}",
            highlight=False,
            soft_wrap=True,
        )
    for kind in dict.fromkeys("" if each.is_option else each.name for each in differing):
        out.print(_ADVICE[kind], highlight=False, soft_wrap=True)
