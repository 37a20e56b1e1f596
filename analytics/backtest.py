"""A rule file against the ledger: whom it would have reached, and what its guard stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec
from clickhouse_driver import Client

from analytics.replay import journeys
from schemas.outcome import ContactUpdate, JourneyStep, OutreachDecision, OutreachRequest
from streams.core.backtest import account_requests_of, looks
from streams.core.guard import Guard
from streams.core.policy import Policy
from streams.core.rules import RuleSet

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(OutreachRequest).decode
_decode_update: Final = msgspec.json.Decoder(ContactUpdate).decode
_UPDATES: Final = "SELECT account, record FROM told ORDER BY account, at, rowid"


def backtest(
    client: Client,
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
    progress: Callable[[int], None],
) -> Iterator[OutreachDecision]:
    """The guard's decisions on the ledger's history: see `decide`."""
    yield from decide(journeys(client), ruleset, policy, since_ms, until_ms, progress)


def decide(
    history: Iterator[tuple[str, JourneyStep]],
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
    progress: Callable[[int], None],
) -> Iterator[OutreachDecision]:
    """The guard's decisions between two moments, in order of time.

    `history` is every touchpoint with its customer, grouped by customer, in order of time.
    Customers as they are known now. The guard begins with no memory. One customer's journey is
    held at a time, then one account's contacts; what these are told and what is asked for is sorted
    on disk, since accounts, caps and budget go across customers. `progress` is told the touchpoints
    read.
    """
    with closing(sqlite3.connect("")) as asked:  # a file of its own that is gone with it
        asked.execute("CREATE TABLE asked (at INTEGER, request BLOB)")
        asked.execute("CREATE TABLE told (account TEXT, at INTEGER, record BLOB)")
        read = 0

        def counted(rows: Iterator[tuple[str, JourneyStep]]) -> Iterator[JourneyStep]:
            nonlocal read
            for _, step in rows:
                read += 1
                yield step

        def ask(requests: Iterable[OutreachRequest]) -> None:
            asked.executemany(
                "INSERT INTO asked VALUES (?, ?)",
                ((one.requested_ms, _encode(one)) for one in requests),
            )

        for customer, rows in groupby(history, key=itemgetter(0)):
            for look in looks(customer, counted(rows), ruleset, policy, since_ms, until_ms):
                ask(look.requests)
                asked.executemany(
                    "INSERT INTO told VALUES (?, ?, ?)",
                    ((one.account, one.evaluated_ms, _encode(one)) for one in look.updates),
                )
            progress(read)
        for account, told in groupby(asked.execute(_UPDATES), key=itemgetter(0)):
            updates = (_decode_update(record) for _, record in told)
            ask(account_requests_of(account, updates, ruleset, policy, since_ms, until_ms))
        guard = Guard(ruleset)
        for at_ms, request in asked.execute("SELECT at, request FROM asked ORDER BY at, rowid"):
            decision = guard.decide(_decode(request), at_ms)
            if decision is not None:
                yield decision
            guard.forget(at_ms)
