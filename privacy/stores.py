"""Every table of the database: how a row of it is known to be a person's, or that none is.

A test reads the tables that migrations make and fails where one is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Store:
    """A table with personal data and the condition under which a row is the person's.

    In a condition, `%(identifiers)s` are the person's, `%(anchors)s` those and the identifiers
    whose history goes with them, `%(letters)s` the ids of dead letters.
    """

    table: str
    condition: str

    def bound(self, sets: Mapping[str, str]) -> Store:
        """The store with SQL in the place of the parameters."""
        return Store(self.table, self.condition % sets)


LEDGER: Final = Store("touchpoints", "anchor IN %(anchors)s")
# Derived from the ledger first: whatever is left of the person is found by the last of them.
STORES: Final = (
    Store("outreach_outcomes", "customer IN %(anchors)s"),
    Store("outreach", "customer IN %(anchors)s"),
    Store("dead_letter_replays", "id IN %(letters)s"),
    Store("dead_letters", "id IN %(letters)s"),
    Store("accounts", "weakest IN %(anchors)s"),
    Store("health", "customer IN %(anchors)s"),
    Store("parts", "anchor IN %(anchors)s OR customer IN %(identifiers)s"),
    LEDGER,
    Store("identity_members", "identifier IN %(identifiers)s OR customer IN %(identifiers)s"),
    Store("identity_links", "a IN %(identifiers)s OR b IN %(identifiers)s"),
)
# Rows of others whose list of identifiers has one of the person's: the list loses it.
MENTIONS: Final = (
    Store("touchpoints", "anchor NOT IN %(anchors)s AND hasAny(identifiers, %(identifier_list)s)"),
    Store("outreach", "customer NOT IN %(anchors)s AND hasAny(identifiers, %(identifier_list)s)"),
)
REDACTED: Final = "identifiers = arrayFilter(i -> i NOT IN %(identifiers)s, identifiers)"
# The list of an erasure under way, emptied at its end; and tables that hold nobody's data.
STAGING: Final = "erasing"
IMPERSONAL: Final = frozenset({"erasures", "schema_migrations"})
# Without rows of their own. The dictionary is in memory, and loaded again after an erasure.
VIEWS: Final = frozenset({"identity", "ledger", "customers", "customer_of"})
