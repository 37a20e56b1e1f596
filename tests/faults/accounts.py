"""What accounts know of their contacts, and how they stand, against what the contacts are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from schemas.outcome import Account, AccountHealth, ContactUpdate, CustomerHealth
from streams.core.accounts import roll_up
from streams.core.contacts import row_for_account
from streams.core.policy import Policy
from tests.faults.compare import Comparison, compare

FIELDS: Final = tuple(
    name for name in AccountHealth.__struct_fields__ if name not in ("account", "evaluated_ms")
)
STANDING: Final = f"""
SELECT account, {", ".join(FIELDS)}
FROM accounts FINAL
ORDER BY evaluated_at DESC
LIMIT 1 BY account
"""


def check(
    standing: Iterable[CustomerHealth],
    contacts: Iterable[ContactUpdate],
    accounts: Iterable[Account],
    stored: Iterable[tuple[Any, ...]],
    policy: Policy,
) -> Iterator[Comparison]:
    """Contacts and accounts by the customers' rows, and the rows stored of accounts.

    `contacts` and `accounts` have the newest record of each key, `stored` what STANDING asks for.
    Which rules hold, and when they did, depends on the moment of each look and is left out.
    """
    rows = defaultdict(dict)
    for row in standing:
        if row.account and row.identifiers:
            rows[row.account][row.customer] = row_for_account(row)
    yield compare(
        "contacts, topic",
        {(account, name): row for account, its in rows.items() for name, row in its.items()},
        (
            ((one.account, one.customer), one.contact.row)
            for one in contacts
            if one.contact is not None
        ),
    )
    rolled = {account: roll_up(account, its.values(), policy) for account, its in rows.items()}
    expected = {name: _shown(health) for name, health in rolled.items() if health is not None}
    found = [(one.account, _shown(one)) for one in accounts if one.contacts]
    yield compare("accounts, topic", expected, found)
    contacts_at = 1 + FIELDS.index("contacts")
    yield compare(
        "accounts", expected, ((row[0], tuple(row[1:])) for row in stored if row[contacts_at])
    )


def _shown(health: AccountHealth) -> tuple[Any, ...]:
    return tuple(msgspec.structs.asdict(health)[name] for name in FIELDS)
