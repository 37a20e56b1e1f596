"""`journey reconcile`: live state against a recomputation from the ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

import click
import msgspec
from clickhouse_driver import Client

from analytics import replay
from analytics.identities import known_identities
from analytics.live import (
    evaluations,
    memory_of,
    parts_of,
    stored_contacts,
    stored_members,
    stored_parts,
)
from commands.send import wait_for_pipeline
from commands.shell import Shell, ledger, out, print_json, verb
from schemas import topics
from schemas.outcome import Account, Contact, CustomerHealth, Member
from schemas.settings import Settings
from schemas.state import AnchorState, Part, PartUpdate
from sinks.repair import add_accounts, add_health, replace_members, replace_parts
from sinks.shards import reload_identities
from streams.cluster import latest
from streams.core.accounts import stand
from streams.core.drift import Contacts, Difference, Placed, Tally, differences, told
from streams.core.identity import Identities
from streams.core.journey import CustomerState
from streams.core.stitch import NO_RULES, evaluate
from streams.policy import load_policy
from streams.rebuild import anchors, by_customer

SHOWN: Final = 20
_BATCH: Final = 1_000  # rows put right at a time
_member: Final = msgspec.json.Decoder(Member).decode
_anchor_state: Final = msgspec.json.Decoder(AnchorState).decode
_account: Final = msgspec.json.Decoder(Account).decode
T = TypeVar("T")


@dataclass(slots=True)
class Report:
    """What was compared, how many rows differ by table, and the first of them in words.

    `workers` counts the drifted rows that the workers' own state has otherwise than the ledger.
    """

    touchpoints: int = 0
    customers: int = 0
    drift: Counter[str] = field(default_factory=Counter)
    differences: list[dict[str, str]] = field(default_factory=list)
    workers: int = 0

    def note(self, table: str, found: list[Difference[Any]]) -> None:
        """Count differences, and tell the first ones."""
        self.drift[table] += len(found)
        for name, ours, stored in found[: SHOWN - len(self.differences)]:
            says = {"ledger": told(ours, stored), "stored": told(stored, ours)}
            self.differences.append({"table": table, "name": name, **says})


@click.command()
@click.option("--repair", is_flag=True, help="Replace the rows that differ.")
@click.option(
    "--wait/--no-wait", default=True, show_default=True, help="First let the pipeline come to rest."
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@verb
def reconcile(shell: Shell, repair: bool, wait: bool, as_json: bool) -> None:
    """Compare live state with a recomputation from the ledger.

    Recomputed are the customer of every identifier, every anchor's part, and what the health of
    each customer and account was evaluated on. Exit code 0 where nothing differs, 1 where
    something does. Touchpoints that arrive meanwhile show as differences: compare again.

    With --repair, rows that differ are replaced in ClickHouse by what the ledger says, and the
    exit code tells what is left. Workers keep their own state in Kafka: where that is wrong too,
    the command says so, and the drift would come back with a customer's next touchpoint. Stop the
    local stack then and start it with --rebuild, or `journey rebuild` on fresh topics.
    """
    settings = shell.settings()
    if wait:
        wait_for_pipeline(settings)
    found = _compared(settings, repair)
    left = found
    if repair and any(found.drift.values()):
        left = _compared(settings, repair=False)
    exact = not any(left.drift.values()) and not found.workers
    if as_json:
        print_json(
            {
                "exact": exact,
                "touchpoints": found.touchpoints,
                "customers": found.customers,
                "drift": _by_table(found),
                "differences": found.differences,
                "left": _by_table(left),
                "workers": found.workers,
            }
        )
    else:
        _show(found, left, repair)
    raise SystemExit(0 if exact else 1)


TABLES: Final = ("members", "parts", "customers", "accounts")


def _by_table(report: Report) -> dict[str, int]:
    return {table: report.drift[table] for table in TABLES}


def _compared(settings: Settings, repair: bool) -> Report:
    """Compare table by table, and where `repair`, put right what differs on the way."""
    report = Report()
    with ExitStack() as stack:
        # A client answers one query at a time: the ledger's, the tables', and the repairs.
        ours, theirs, hand = (stack.enter_context(ledger(settings)) for _ in range(3))
        identities = known_identities(ours, settings)
        members = differences(sorted(identities.elsewhere().items()), stored_members(theirs))
        for moved in _batches(members):
            report.note("members", moved)
            if repair:
                replace_members(hand, {d.name: d.ledger for d in moved})
                report.workers += _otherwise_customers(settings, moved)
        moments, evaluated = evaluations(theirs)
        tally = Tally(moments)
        recomputed = tally.placed(anchors(replay.steps(ours), identities))
        for placed in _batches(differences(recomputed, stored_parts(theirs))):
            report.note("parts", placed)
            if repair:
                replace_parts(hand, {d.name: d.ledger for d in placed})
                report.workers += _otherwise_parts(settings, placed)
        counts = differences(sorted(tally.customers.items()), sorted(evaluated.items()))
        for changed in _batches(counts):
            report.note("customers", changed)
            if repair:
                _evaluate(hand, settings, identities, [d.name for d in changed])
        companies = differences(
            sorted(tally.accounts().items()), sorted(stored_contacts(theirs).items())
        )
        for stood in _batches(companies):
            report.note("accounts", stood)
            if repair:
                _roll_up(hand, settings, identities, tally.contacts_of(d.name for d in stood))
                report.workers += _otherwise_accounts(settings, stood)
        if repair:
            reload_identities(hand)
        report.touchpoints, report.customers = tally.touchpoints, len(tally.customers)
    return report


def _batches(found: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(found, _BATCH)):
        yield batch


def _otherwise_customers(settings: Settings, drift: Iterable[Difference[str]]) -> int:
    """Of identifiers that differed, how many the workers too have with another customer."""
    truth = {d.name: d.ledger or d.name for d in drift}
    records = latest(settings, topics.MEMBERS, truth)
    known = {name: _member(value).customer for name, value in records.items()}
    return sum(known.get(name, name) != customer for name, customer in truth.items())


def _otherwise_parts(settings: Settings, drift: Iterable[Difference[Placed]]) -> int:
    """Of anchors that differed, how many the workers too have otherwise than the ledger."""
    truth = {d.name: d.ledger or Placed(d.name, Part()) for d in drift}
    records = latest(settings, topics.ANCHORS, truth)
    states = {name: _anchor_state(value) for name, value in records.items()}
    known = {name: Placed(s.customer or name, s.part) for name, s in states.items()}
    return sum(known.get(name) != placed for name, placed in truth.items())


def _otherwise_accounts(settings: Settings, drift: Iterable[Difference[Contacts]]) -> int:
    """Of accounts that differed, how many the workers too have with other contacts."""
    truth = {d.name: d.ledger.customers if d.ledger else 0 for d in drift}
    records = latest(settings, topics.ACCOUNTS, truth)
    known = {name: _account(value).contacts for name, value in records.items()}
    return sum(known.get(name, 0) != count for name, count in truth.items())


def _evaluate(
    client: Client, settings: Settings, identities: Identities, customers: list[str]
) -> None:
    """Store the health of customers anew, by the parts stored; no outreach comes of it."""
    now_ms = time.time_ns() // 1_000_000
    evaluated = _evaluated(client, settings, identities, customers, now_ms)
    add_health(client, [health for health, _ in evaluated])


def _roll_up(
    client: Client, settings: Settings, identities: Identities, contacts: dict[str, list[str]]
) -> None:
    """Store how accounts stand anew, by the parts stored; no outreach comes of it."""
    now_ms = time.time_ns() // 1_000_000
    policy = load_policy(settings.health_file)
    memory = memory_of(client, contacts)
    found: dict[str, list[Contact]] = {account: [] for account in contacts}
    everybody = [customer for its in contacts.values() for customer in its]
    for _, contact in _evaluated(client, settings, identities, everybody, now_ms):
        if contact is not None and contact.row.account in found:
            found[contact.row.account].append(contact)
    rows = []
    for name, its in found.items():
        account, _ = stand(name, its, None, now_ms, policy, NO_RULES)
        rows.append(msgspec.structs.replace(account, **memory.get(name, {})))
    add_accounts(client, rows)


def _evaluated(
    client: Client, settings: Settings, identities: Identities, customers: list[str], now_ms: int
) -> Iterator[tuple[CustomerHealth, Contact | None]]:
    policy = load_policy(settings.health_file)
    reached = by_customer(replay.reached(client), identities)
    stored = parts_of(client, customers) if customers else {}
    for customer in customers:
        state = CustomerState()
        for anchor, part in stored.get(customer, {}).items():
            state.take(PartUpdate(anchor, customer, 0, part.n, part))
        remembered = reached.get(customer, {})
        health, _, contact = evaluate(customer, state, remembered, now_ms, policy)
        yield health, contact


def _show(found: Report, left: Report, repair: bool) -> None:
    out.print(
        f"{found.touchpoints:,} touchpoints of {found.customers:,} customers recomputed",
        highlight=False,
    )
    for line in found.differences:
        out.print(
            f"{line['table']} {line['name']}: the ledger says {line['ledger']}, "
            f"stored is {line['stored']}",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    drift = ", ".join(f"{table} {n:,}" for table, n in _by_table(found).items())
    out.print(f"Drift: {drift}", highlight=False)
    if repair and any(found.drift.values()):
        rest = ", ".join(f"{table} {n:,}" for table, n in _by_table(left).items())
        out.print(f"After the repair: {rest}", highlight=False)
    if found.workers:
        out.print(
            f"The workers too have {found.workers:,} of them otherwise than the ledger, so drift "
            "will be back: stop and `journey up --rebuild`, or `journey rebuild` on fresh topics",
            highlight=False,
            soft_wrap=True,
        )
