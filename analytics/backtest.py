"""A rule file against the ledger: whom it would have reached, and what its guard stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec
from clickhouse_driver import Client

from analytics.replay import journeys
from schemas.outcome import JourneyStep, OutreachDecision, OutreachRequest
from streams.core.backtest import requests_of
from streams.core.guard import Guard
from streams.core.policy import Policy
from streams.core.rules import RuleSet

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(OutreachRequest).decode


def backtest(
    client: Client,
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
    progress: Callable[[int], None],
) -> Iterator[OutreachDecision]:
    """The guard's decisions between two moments, in order of time.

    Customers as they are known now. The guard begins with no memory. One customer's journey is
    held at a time; requests are sorted on disk, since caps and budget count across customers.
    `progress` is told the touchpoints read.
    """
    with closing(sqlite3.connect("")) as asked:  # a file of its own that is gone with it
        asked.execute("CREATE TABLE asked (at INTEGER, request BLOB)")
        read = 0

        def counted(rows: Iterator[tuple[str, JourneyStep]]) -> Iterator[JourneyStep]:
            nonlocal read
            for _, step in rows:
                read += 1
                yield step

        for customer, rows in groupby(journeys(client), key=itemgetter(0)):
            found = requests_of(customer, counted(rows), ruleset, policy, since_ms, until_ms)
            asked.executemany(
                "INSERT INTO asked VALUES (?, ?)",
                ((one.requested_ms, _encode(one)) for one in found),
            )
            progress(read)
        guard = Guard(ruleset)
        for at_ms, request in asked.execute("SELECT at, request FROM asked ORDER BY at, rowid"):
            decision = guard.decide(_decode(request), at_ms)
            if decision is not None:
                yield decision
            guard.forget(at_ms)
