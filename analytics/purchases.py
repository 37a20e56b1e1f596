"""Purchases by customer and day: what the value model is fitted on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clickhouse_driver import Client

from analytics.ledger import CUSTOMER
from streams.core.value_ledger import PurchaseDay

# As `streams.core.journey` counts orders, spend and refunds; in order of customer.
_DAYS: Final = f"""
SELECT {CUSTOMER} AS customer, toUInt32(toDate(occurred_at, 'UTC')) AS day, currency,
    countIf(type = 'placed'),
    sumIf(amount_minor, type = 'placed')
        - sumIf(abs(amount_minor), type IN ('refunded', 'cancelled'))
FROM touchpoints FINAL
WHERE channel = 'order' AND type IN ('placed', 'refunded', 'cancelled')
    AND toUInt32(toDate(occurred_at, 'UTC')) <= %(last_day)s
GROUP BY customer, day, currency
ORDER BY customer, day, currency
"""
_SETTINGS: Final = {"max_bytes_before_external_sort": 256 << 20, "max_block_size": 65_536}


def purchase_days(client: Client, last_day: int) -> Iterator[PurchaseDay]:
    """Days with orders or refunds up to a day (since 1970), grouped by present customer."""
    for row in client.execute_iter(_DAYS, {"last_day": last_day}, settings=_SETTINGS):
        yield PurchaseDay(*row)
