"""SQL that several dashboards share."""

from __future__ import annotations

from typing import Final

from analytics.ledger import CUSTOMER
from streams.core.policy import Policy

__all__ = ["ACCOUNTS", "BAND", "CUSTOMER", "IN_RANGE", "chosen", "latest"]

IN_RANGE: Final = "$__timeFilter(occurred_at)"
_POLICY: Final = Policy()
# As `Policy.band` with the default bands.
BAND: Final = (
    f"multiIf(health <= {_POLICY.red:g}, 'red', health <= {_POLICY.amber:g}, 'amber', 'green')"
)


# The newest row of every company; one that nobody belongs to any more has no contacts.
ACCOUNTS: Final = (
    "(SELECT account, evaluated_at, health, band, contacts, weakest, reasons, reasons_fa "
    "FROM accounts FINAL ORDER BY evaluated_at DESC LIMIT 1 BY account)"
)


def latest(*columns: str) -> str:
    """The newest health of every customer that still stands, as the view `customers` has it."""
    return f"""(
    SELECT customer, identifiers, {", ".join(columns)}
    FROM health FINAL
    WHERE dictGetOrDefault('customer_of', 'customer', customer, customer) = customer
    ORDER BY evaluated_at DESC
    LIMIT 1 BY customer
)"""


def chosen(column: str, variable: str) -> str:
    """A condition: the column is one of a variable's values, or all are chosen."""
    return f"$__conditionalAll({column} IN (${{{variable}:singlequote}}), ${variable})"
