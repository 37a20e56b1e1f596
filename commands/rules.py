"""`journey rules`: a rule file checked, and tried on history before it goes live."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click
import msgspec

from analytics import replay
from analytics.backtest import backtest
from commands.inspect import Moment
from commands.render_outreach import show_backtest
from commands.shell import Shell, bar, ledger, out, print_json, verb
from schemas.outcome import OutreachDecision
from streams.core.evidence import DAY_MS
from streams.policy import load_policy
from streams.rules import DEFAULT, load_rules

_FILE = click.Path(dir_okay=False, path_type=Path)
_DAYS = 90


@click.group()
def rules() -> None:
    """Rules of outreach: see docs/outreach.md for the file."""


@rules.command()
@click.argument("file", type=_FILE, required=False)
@verb
def check(shell: Shell, file: Path | None) -> None:
    """Check a rule file: the one that is set, or else the one shipped, where none is named.

    Exit code 1 with a line for each fault: file, line, field, and what to do.
    """
    path = file or shell.settings().rules_file or DEFAULT
    found = load_rules(path)
    names = ", ".join(rule.name for rule in found.rules) or "none"
    out.print(f"{path}: {len(found.rules)} rules: {names}", highlight=False, soft_wrap=True)


@rules.command()
@click.argument("file", type=_FILE)
@click.option("--since", type=Moment(), help=f"From this time on; by default {_DAYS} days ago.")
@click.option("--until", type=Moment(), help="Up to this time; now by default.")
@click.option("--newest", default=20, show_default=True, help="Decisions to show.")
@click.option("--json", "as_json", is_flag=True, help="Every decision, one JSON object a line.")
@verb
def test(
    shell: Shell,
    file: Path,
    since: int | None,
    until: int | None,
    newest: int,
    as_json: bool,
) -> None:
    """Run a rule file over the ledger's history: whom it would have reached, when, why and how.

    The guard decides as it would live, with no memory of earlier outreach; what it would have
    suppressed is told with the reason. Nothing is sent or stored.
    """
    settings = shell.settings()
    ruleset, policy = load_rules(file), load_policy(settings.health_file)
    until_ms = time.time_ns() // 1_000_000 if until is None else until
    since_ms = until_ms - _DAYS * DAY_MS if since is None else since
    told: Counter[tuple[str, str]] = Counter()
    last: list[OutreachDecision] = []
    with ledger(settings) as client, bar() as progress:
        task = progress.add_task("reading history", total=replay.size(client))
        found = backtest(
            client,
            ruleset,
            policy,
            since_ms,
            until_ms,
            lambda read: progress.update(task, completed=read),
        )
        for decision in found:
            if as_json:
                print_json(msgspec.structs.asdict(decision))
            else:
                told[decision.rule, decision.suppressed_by] += 1
                last = [*last[-newest + 1 :], decision] if newest else []
    if not as_json:
        show_backtest(out, [rule.name for rule in ruleset.rules], told, last, since_ms, until_ms)
