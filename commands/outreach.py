"""`journey outreach`: what was decided and why, and what came of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import click

from analytics.lookup import find
from analytics.outreach import effect as measure
from analytics.outreach import logged
from analytics.timeline import customer_of, identifiers_of
from commands.render_outreach import show_effect, show_log
from commands.shell import Shell, ledger, out, print_json, verb
from streams.core.effect import CONFIDENCE, SMALL, Effect, Interval
from streams.policy import load_policy

_json = click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
_rule = click.option("--rule", default="", help="Of this rule only.")


@click.group()
def outreach() -> None:
    """Decisions on outreach, taken and suppressed, and their effect."""


@outreach.command("list")
@click.option("--customer", help="`kind:value`, a phone number, an e-mail or a customer id.")
@_rule
@click.option("--newest", default=50, show_default=True, help="Decisions to show.")
@_json
@verb
def list_(shell: Shell, customer: str | None, rule: str, newest: int, as_json: bool) -> None:
    """The log of decisions, newest first, each with its reason.

    With --json, one object a line.
    """
    settings = shell.settings()
    with ledger(settings) as client:
        names = None
        if customer is not None:
            name = find(client, customer, settings.identity_key_bytes(), settings.phone_region)
            names = identifiers_of(client, customer_of(client, name))
        found = logged(client, names, rule, newest)
    if as_json:
        for one in found:
            print_json(one._asdict())
    else:
        show_log(out, found)


@outreach.command()
@_rule
@click.option(
    "--days", type=click.IntRange(1, 366), default=14, show_default=True, help="To follow up."
)
@_json
@verb
def effect(shell: Shell, rule: str, days: int, as_json: bool) -> None:
    """Customers reached against those held out: change of health, and how many left.

    A customer left who did not come back within the days after. Only customers whose days are
    over count, from the first time each was reached or held out.
    """
    settings = shell.settings()
    policy = load_policy(settings.health_file)
    now_ms = time.time_ns() // 1_000_000
    with ledger(settings) as client, ledger(settings) as other:
        found = measure(client, other, rule, days, now_ms, policy)
    if as_json:
        print_json(_as_json(found, rule, days))
    else:
        show_effect(out, found, days)


def _as_json(found: Effect, rule: str, days: int) -> dict[str, Any]:
    def interval(one: Interval | None) -> dict[str, float] | None:
        return None if one is None else one._asdict()

    groups = {"reached": found.reached, "held_out": found.held_out}
    return {
        "rule": rule,
        "days": days,
        "confidence": CONFIDENCE,
        "enough": found.health is not None,
        "smallest_group": SMALL,
        **{
            name: {k: v for k, v in asdict(group).items() if k != "squares"}
            for name, group in groups.items()
        },
        "health_difference": interval(found.health),
        "left_difference": interval(found.left),
    }
