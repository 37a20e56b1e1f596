"""`journey funnel`, `customer` and the other verbs that tell what ledger and stack say."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from clickhouse_driver import Client

from analytics.customers import StoredCustomer
from analytics.funnel import funnel as count_funnel
from analytics.lookup import find
from analytics.standing import Standing, history, standing, standings
from analytics.standing import accounts as roll_up
from analytics.status import status as count_stored
from analytics.surveys import Length, periods
from analytics.timeline import customer_of, identifiers_of, spoken, timeline
from commands.customer_view import show_customer
from commands.render import show_accounts, show_customers, show_funnel, show_status, show_surveys
from commands.shell import Refused, Shell, ledger, out, print_json, verb
from deploy.local.stack import recorded
from schemas.settings import Settings
from streams.cluster import BrokerUnavailable, unread
from streams.core.phrases import Language
from streams.core.policy import Policy
from streams.core.resolve import to_ms
from streams.policy import load_policy

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_json = click.option("--json", "as_json", is_flag=True, help="JSON, for machines.")


class Duration(click.ParamType):
    """A number and a unit, such as 30m, 12h or 7d; seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Seconds; fails where the unit is missing."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", str(value))
        if not found:
            self.fail(f"{value!r} is not a duration such as 30m, 12h or 7d", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class Moment(click.ParamType):
    """An RFC 3339 time with zone, or a date, which means its last millisecond in UTC."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Epoch milliseconds; fails where the zone is missing."""
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time such as 2026-11-22T08:30:00+03:30", param, ctx)
        if len(value) == 10:
            return to_ms(moment.replace(tzinfo=UTC)) + 86_399_999
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone: add one, such as Z or +03:30", param, ctx)
        return to_ms(moment)


as_of_option = click.option("--as-of", type=Moment(), help="As of this time; now by default.")


@click.command()
@click.argument("steps", nargs=-1, required=True, metavar="STEP STEP…")
@click.option("--window", type=Duration(), default="7d", show_default=True, help="First to last.")
@_json
@verb
def funnel(shell: Shell, steps: tuple[str, ...], window: float, as_json: bool) -> None:
    """Count the customers who went through steps in order.

    A step is `channel:type`, or `channel:type[field=value]`.
    """
    with ledger(shell.settings()) as client:
        found = count_funnel(client, steps, window)
    if as_json:
        print_json([asdict(step) for step in found])
    else:
        show_funnel(out, [(step.step, step.customers) for step in found])


@click.command()
@click.argument("identifier")
@as_of_option
@click.option("--newest", default=50, show_default=True, help="Touchpoints to show.")
@click.option(
    "--lang",
    type=click.Choice(["fa", "en"]),
    help="Language of the reasons; by default the one the customer mostly writes in.",
)
@_json
@verb
def customer(
    shell: Shell,
    identifier: str,
    as_of: int | None,
    newest: int,
    lang: Language | None,
    as_json: bool,
) -> None:
    """One customer: the health with its history and reasons, and the timeline.

    The identifier is `kind:value`, or just a phone number, an e-mail or a customer id.
    """
    settings = shell.settings()
    as_of_ms = _now_ms() if as_of is None else as_of
    policy = load_policy(settings.health_file)
    with ledger(settings) as client:
        name = find(client, identifier, settings.identity_key_bytes(), settings.phone_region)
        found = _standing(client, customer_of(client, name), as_of_ms, policy)
        line = timeline(client, name, newest=newest, until_ms=as_of)
        lang = lang or spoken(client, found.identifiers)
    record, (step, points) = found.row(policy), history(found, policy)
    if as_json:
        print_json(
            found.as_json()
            | {
                "as_of": as_of_ms,
                "band": policy.band(record.health),
                "segment": record.segment,
                "account": record.account,
                "role": record.role,
                "history": {"step": step, "points": [asdict(point) for point in points]},
                "components": [_component(c) for c in found.health.components],
                "reasons": found.health.reasons(language=lang),
                "causes": found.health.causes,
                "sessions": [asdict(session) for session in line.sessions],
            }
        )
    else:
        show_customer(out, found, record, step, points, line, policy, lang)


@click.command()
@as_of_option
@_json
@verb
def customers(shell: Shell, as_of: int | None, as_json: bool) -> None:
    """Every customer: identifiers, touchpoints, health, sentiment and distress.

    With --json, one object a line, sorted by customer: the same ledger gives the same bytes.
    """
    as_of_ms = _now_ms() if as_of is None else as_of
    settings = shell.settings()
    policy = load_policy(settings.health_file)
    with ledger(settings) as client:
        found = standings(client, as_of_ms, policy)
        if as_json:
            for one in found:
                print_json(one.as_json())
        else:
            show_customers(out, found)


@click.command()
@as_of_option
@_json
@verb
def accounts(shell: Shell, as_of: int | None, as_json: bool) -> None:
    """Companies by their contacts: red where the weakest critical contact is red.

    The one that needs attention first; with --json, one object a line.
    """
    settings = shell.settings()
    policy = load_policy(settings.health_file)
    as_of_ms = _now_ms() if as_of is None else as_of
    with ledger(settings) as client:
        found = roll_up(standings(client, as_of_ms, policy), policy)
    if as_json:
        for one in found:
            print_json(msgspec.structs.asdict(one))
    else:
        show_accounts(out, found)


@click.command()
@click.option("--period", type=click.Choice(["month", "week"]), default="month", show_default=True)
@_json
@verb
def survey(shell: Shell, period: Length, as_json: bool) -> None:
    """NPS, CSAT and CES by period, from the raw answers; definitions in docs/health.md."""
    with ledger(shell.settings()) as client:
        found = periods(client, period)
    if as_json:
        for one in found:
            print_json(one.as_json())
    else:
        show_surveys(out, found)


@click.command()
@_json
@verb
def status(shell: Shell, as_json: bool) -> None:
    """Lag per topic, rates, dead letters by reason, and the processes of a local stack.

    A process is live while it makes progress, and ready when nothing it needs is away.

    Exit code 0 once the stack is ready for touchpoints, 1 where it is not.
    """
    settings = shell.settings()
    processes = recorded(settings)
    report: dict[str, Any] = {"ready": True, "away": {}}
    for name, ask in (("kafka", _lag), ("clickhouse", _stored)):
        try:
            report |= ask(settings)
        except (BrokerUnavailable, Refused) as error:
            if not processes:
                raise
            report["away"][name] = str(error)
    ready = not report["away"] and all(process["ready"] for process in processes.values())
    report |= {"ready": ready, "processes": processes}
    if as_json:
        print_json(report)
    else:
        show_status(out, report)
    raise SystemExit(0 if ready else 1)


def _lag(settings: Settings) -> dict[str, Any]:
    behind = unread(settings).items()
    return {"lag": [{"group": group, "topic": topic, "records": n} for (group, topic), n in behind]}


def _stored(settings: Settings) -> dict[str, Any]:
    with ledger(settings) as client:
        recent = client.execute(
            "SELECT count() FROM touchpoints WHERE received_at > now() - INTERVAL 1 MINUTE"
        )
        return {"touchpoints_per_minute": recent[0][0], **asdict(count_stored(client))}


def _standing(client: Client, name: str, as_of_ms: int, policy: Policy) -> Standing:
    identifiers = tuple(identifiers_of(client, name))
    parts = dict(
        client.execute(
            "SELECT anchor, part FROM parts FINAL WHERE anchor IN %(names)s",
            {"names": identifiers},
        )
    )
    return standing(StoredCustomer(name, identifiers, parts), as_of_ms, policy)


def _component(component: Any) -> dict[str, Any]:
    return {
        "name": component.name,
        "value": round(component.value, 4),
        "weight": round(component.weight, 2),
        "contribution": round(component.contribution, 2),
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
