"""`journey identity`: why identifiers are one customer's, and an operator's say in it."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import click
import msgspec
from clickhouse_driver import Client

from analytics.identities import find_linked, known_identities
from commands.render_identity import show_conflicts, show_explanation
from commands.send import wait_for_pipeline
from commands.shell import Refused, Shell, ledger, out, print_json, verb
from producers.publisher import Publisher
from schemas import topics
from schemas.outcome import Action, Link
from schemas.settings import Settings
from sinks.shards import reload_identities
from streams.core.explanation import explain
from streams.core.identity import Conflict, Identities


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return ""


_encode = msgspec.json.Encoder().encode
_json = click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")
_reason = click.option("--reason", required=True, help="Why: it stays on record.")
_operator = click.option(
    "--operator", default=_login_name, show_default="your login name", help="Who decides."
)
_wait = click.option(
    "--wait/--no-wait", default=True, show_default=True, help="Return when it can be queried."
)


@click.group()
def identity() -> None:
    """Which identifiers are one customer's, why, and what operators decided about it.

    An identifier is `kind:value`, or just a phone number, an e-mail or a customer id.
    """


@identity.command()
@click.argument("identifier")
@_json
@verb
def show(shell: Shell, identifier: str, as_json: bool) -> None:
    """A customer: its identifiers, the links that hold them together, and what does not."""
    settings = shell.settings()
    with ledger(settings) as client:
        identities = known_identities(client, settings)
        name = find_linked(client, identities, identifier, settings)
    found = explain(identities, name)
    if not as_json:
        show_explanation(out, found)
        return
    print_json(
        {
            "identifier": found.identifier,
            "customer": found.customer,
            "identifiers": found.members,
            "links": [_link(link) for link in found.links],
            "withdrawn": [_link(link) for link in found.withdrawn],
            "conflicts": [_conflict(conflict) for conflict in found.conflicts],
            "not_bridging": found.not_bridging,
        }
    )


@identity.command()
@_json
@verb
def conflicts(shell: Shell, as_json: bool) -> None:
    """Links that would put two customer ids into one customer, and were not applied.

    With --json, one object a line.
    """
    settings = shell.settings()
    with ledger(settings) as client:
        found = known_identities(client, settings).conflicts()
    if as_json:
        for conflict in found:
            print_json(_conflict(conflict))
    else:
        show_conflicts(out, found)


@identity.command()
@click.argument("a")
@click.argument("b")
@_reason
@_operator
@_wait
@_json
@verb
def link(
    shell: Shell, a: str, b: str, reason: str, operator: str, wait: bool, as_json: bool
) -> None:
    """Join two identifiers' customers, for all their history.

    `unlink` takes it back. Two customer ids may be joined too: they are one person then.
    """
    _enter(shell.settings(), (a, b), Action.JOIN, reason, operator, wait, as_json)


@identity.command()
@click.argument("a")
@click.argument("b")
@_reason
@_operator
@_wait
@_json
@verb
def unlink(
    shell: Shell, a: str, b: str, reason: str, operator: str, wait: bool, as_json: bool
) -> None:
    """Withdraw the link of two identifiers, seen or joined, for all their history.

    `link` takes it back. Where A and B are one customer's by other links, those are named.
    """
    _enter(shell.settings(), (a, b), Action.WITHDRAW, reason, operator, wait, as_json)


def _enter(
    settings: Settings,
    typed: tuple[str, str],
    action: Action,
    reason: str,
    operator: str,
    wait: bool,
    as_json: bool,
) -> None:
    if not reason.strip():
        raise Refused("--reason is empty: say why, it stays on record")
    if not operator.strip():
        raise Refused("--operator is empty: say who decides, it stays on record")
    with ledger(settings) as client:
        identities = known_identities(client, settings)
        a, b = (find_linked(client, identities, name, settings) for name in typed)
        _check(identities, a, b, action)
        entry = _entry(identities, a, b, action, reason.strip(), operator)
        identities.learn([entry])
        _publish(settings, entry)
        if wait:
            _wait_until_seen(settings, client)
    names = sorted({identities.customer_of(a), identities.customer_of(b)})
    held = _way(identities, a, b) if action is Action.WITHDRAW and len(names) == 1 else []
    if as_json:
        answer = {"entry": _link(entry), "customers": names, "held_by": [_link(e) for e in held]}
        print_json(answer)
        return
    one = len(names) == 1
    out.print(f"{a} and {b} are {'one customer' if one else 'two customers'}: {', '.join(names)}",
              highlight=False, soft_wrap=True, markup=False)  # fmt: skip
    if held:
        out.print(f"other links hold them together: {_ways(held)}",
                  highlight=False, soft_wrap=True, markup=False)  # fmt: skip


def _check(identities: Identities, a: str, b: str, action: Action) -> None:
    if a == b:
        raise Refused(f"both are {a}: name two identifiers")
    known = identities.links
    if action is Action.JOIN or b in known.seen_with(a) or known.is_bridge(a, b):
        return
    held = _way(identities, a, b)
    if held:
        raise Refused(f"{a} and {b} are not linked directly: unlink one of {_ways(held)}")
    raise Refused(f"{a} and {b} are not linked")


def _entry(
    identities: Identities, a: str, b: str, action: Action, reason: str, operator: str
) -> Link:
    """An operator's entry, later than those it replaces, whatever this machine's clock says."""
    a, b = min(a, b), max(a, b)
    before = [e.occurred_ms for e in identities.links.entries(a) if (e.a, e.b) == (a, b)]
    now_ms = max([time.time_ns() // 1_000_000, *(ms + 1 for ms in before)])
    return Link(a, b, str(uuid4()), now_ms, operator, action, reason)


def _publish(settings: Settings, entry: Link) -> None:
    with Publisher(settings) as publisher:
        publisher.publish(_encode(entry), entry.key(), topics.LINKS.name)


def _wait_until_seen(settings: Settings, client: Client) -> None:
    wait_for_pipeline(settings)
    reload_identities(client)


def _way(identities: Identities, a: str, b: str) -> list[Link]:
    """The links of a shortest way from one to the other; empty where there is none."""
    customer = identities.customer_of(a)
    came_from: dict[str, str] = {a: ""}
    frontier = [a]
    for here in frontier:
        for other in sorted(identities.links.across(here)):
            if other not in came_from and identities.customer_of(other) == customer:
                came_from[other] = here
                frontier.append(other)
    way = []
    while came_from.get(b):
        way.append(identities.links.bridge(came_from[b], b))
        b = came_from[b]
    return way[::-1]


def _ways(links: Iterable[Link]) -> str:
    return "; ".join(f"{e.a} {e.b}" for e in links)


def _link(link: Link) -> dict[str, Any]:
    return {
        "a": link.a,
        "b": link.b,
        "action": link.action.value,
        "event_id": link.event_id,
        "occurred_ms": link.occurred_ms,
        "source": link.source,
        "reason": link.reason,
    }


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "link": _link(conflict.link),
        "customer_a": conflict.customer_a,
        "customer_b": conflict.customer_b,
    }
