"""Live state as stored, sorted by name: what `journey reconcile` compares with the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from clickhouse_driver import Client

from schemas.state import Part
from streams.core.drift import Contacts, Counts, Placed

_MEMBERS: Final = """
SELECT identifier, customer FROM identity WHERE customer != identifier ORDER BY identifier
"""
_PARTS: Final = "SELECT anchor, customer, part FROM parts FINAL ORDER BY anchor"
_PARTS_OF: Final = """
SELECT customer, anchor, part FROM parts FINAL WHERE customer IN %(customers)s ORDER BY ALL
"""
_EVALUATED: Final = """
SELECT customer, toUnixTimestamp64Milli(evaluated_at), identifiers, touchpoints
FROM health FINAL
ORDER BY evaluated_at DESC
LIMIT 1 BY customer
"""
_ACCOUNTS: Final = """
SELECT account, contacts
FROM accounts FINAL
ORDER BY evaluated_at DESC
LIMIT 1 BY account
"""
_REMEMBERED: Final = """
SELECT account, mapApply((rule, at) -> (rule, toUnixTimestamp64Milli(at)), reached),
    mapApply((rule, at) -> (rule, toUnixTimestamp64Milli(at)), holding), past
FROM accounts FINAL
WHERE account IN %(accounts)s
ORDER BY evaluated_at DESC
LIMIT 1 BY account
"""
_SETTINGS: Final = {"max_bytes_before_external_sort": 256 << 20, "max_block_size": 8_192}
_decode: Final = msgspec.json.Decoder(Part).decode


def stored_members(client: Client) -> Iterator[tuple[str, str]]:
    """Identifiers that belong to another's customer, and that customer."""
    yield from client.execute_iter(_MEMBERS, settings=_SETTINGS)


def stored_parts(client: Client) -> Iterator[tuple[str, Placed]]:
    """Every anchor's part."""
    for anchor, customer, part in client.execute_iter(_PARTS, settings=_SETTINGS):
        yield anchor, Placed(customer, _decode(part))


def evaluations(client: Client) -> tuple[dict[str, int], dict[str, Counts]]:
    """When each customer was last evaluated (epoch ms), and on what; all are held at once.

    A customer all of whose identifiers went elsewhere was evaluated on nothing and is left out of
    the second.
    """
    moments, counts = {}, {}
    for customer, evaluated_ms, anchors, touchpoints in client.execute_iter(
        _EVALUATED, settings=_SETTINGS
    ):
        moments[customer] = evaluated_ms
        if anchors:
            counts[customer] = Counts(anchors, touchpoints)
    return moments, counts


def parts_of(client: Client, customers: Iterable[str]) -> dict[str, dict[str, Part]]:
    """The stored parts of some customers: customer -> anchor -> part."""
    found: dict[str, dict[str, Part]] = {}
    for customer, anchor, part in client.execute(_PARTS_OF, {"customers": tuple(customers)}):
        found.setdefault(customer, {})[anchor] = _decode(part)
    return found


def stored_contacts(client: Client) -> dict[str, Contacts]:
    """How many contacts each account was last evaluated on; accounts without any are left out."""
    return {name: Contacts(count) for name, count in client.execute_iter(_ACCOUNTS) if count}


def memory_of(client: Client, accounts: Iterable[str]) -> dict[str, dict[str, dict[Any, int]]]:
    """What the last row of some accounts remembers: `reached`, `holding` and `past`."""
    rows = client.execute(_REMEMBERED, {"accounts": tuple(accounts)})
    return {
        name: dict(zip(("reached", "holding", "past"), its, strict=True)) for name, *its in rows
    }
