"""Counts of what is stored, for `journey status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from clickhouse_driver import Client

from analytics.dead_letters import Selection, counts
from analytics.ledger import CUSTOMER


@dataclass(frozen=True, slots=True)
class Status:
    """What is stored. `rows` counts replays that have not merged away, `touchpoints` does not."""

    rows: int
    touchpoints: int
    customers: int
    dead_letters: dict[str, int]  # reason -> letters that wait
    outreach: dict[str, int]  # rule -> decisions taken
    held_back: dict[str, int]  # rule -> decisions not taken


_ROWS: Final = "SELECT count() FROM touchpoints"
_TOUCHPOINTS: Final = "SELECT count() FROM touchpoints FINAL"
_CUSTOMERS: Final = f"SELECT uniqExact({CUSTOMER}) FROM (SELECT DISTINCT anchor FROM touchpoints)"
_OUTREACH: Final = "SELECT rule, taken, count() FROM outreach FINAL GROUP BY ALL ORDER BY ALL"


def status(client: Client) -> Status:
    """Count what is stored now; every row once, however often it was written."""
    decisions = client.execute(_OUTREACH)
    return Status(
        rows=client.execute(_ROWS)[0][0],
        touchpoints=client.execute(_TOUCHPOINTS)[0][0],
        customers=client.execute(_CUSTOMERS)[0][0],
        dead_letters=counts(client, Selection()),
        outreach={rule: n for rule, taken, n in decisions if taken},
        held_back={rule: n for rule, taken, n in decisions if not taken},
    )
