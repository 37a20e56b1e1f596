"""What every query over the ledger shares: whose touchpoint it is, and from when to when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

# The customer an anchor belongs to now; an anchor that is linked to nothing is its own.
CUSTOMER: Final = "dictGetOrDefault('customer_of', 'customer', anchor, anchor)"
MILLISECONDS: Final = "toUnixTimestamp64Milli(occurred_at)"


def period(since: datetime | None, until: datetime | None) -> tuple[str, dict[str, Any]]:
    """SQL and parameters of `since <= occurred_at < until`; an end that is None stays open.

    Raises ValueError for a time without zone.
    """
    terms, values = [], {}
    for name, bound, comparison in (("since", since, ">="), ("until", until, "<")):
        if bound is None:
            continue
        if bound.tzinfo is None:
            raise ValueError(f"{name} {bound.isoformat()} has no time zone: add one, such as Z")
        terms.append(f"occurred_at {comparison} toDateTime64(%({name})s, 3, 'UTC')")
        values[name] = bound.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return " AND ".join(terms) or "1", values
