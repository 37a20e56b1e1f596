"""Real input: CDNOW's purchases through the pipeline, equal to the file to the cent."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from sinks.clickhouse import connect
from tests.datasets import lifetimes
from tests.integration.journey import answer

pytestmark = pytest.mark.integration

MAPPING = Path(__file__).parents[2] / "examples" / "cdnow.toml"
# Customers as the ledger and the map of identities have them, with purchases, CDs and cents.
STORED = """
SELECT
    dictGetOrDefault('customer_of', 'customer', anchor, anchor) AS customer,
    count(),
    sum(JSONExtractInt(properties, 'quantity')),
    sum(amount_minor)
FROM touchpoints FINAL
WHERE channel = 'order' AND type = 'placed' AND anchor LIKE 'customer:cdnow-%'
GROUP BY customer
"""


def test_every_purchase_of_cdnow_is_stored_and_counted_once(stack: Stack, tmp_path: Path) -> None:
    master = tmp_path / "CDNOW_master.txt"
    master.write_bytes(lifetimes().read("lifetimes/datasets/CDNOW_master.txt"))
    purchases, disks, cents = Counter[str](), Counter[str](), Counter[str]()
    rows = [line.split() for line in master.read_text().splitlines() if line.strip()]
    for number, _day, quantity, dollars in rows:
        if not number.isdigit():
            continue  # the header
        customer = f"customer:cdnow-{number}"
        purchases[customer] += 1
        disks[customer] += int(quantity)
        cents[customer] += int(Decimal(dollars) * 100)
    assert len(purchases) == 23_570
    assert purchases.total() == 69_659

    report = answer(stack.settings.data, "import", str(master), "--map", str(MAPPING), "--wait")
    assert report["published"] == report["unique"] == 69_659
    assert report["rejected"] == {}

    client = connect(stack.settings.clickhouse.get_secret_value())
    try:
        stored = {customer: told for customer, *told in client.execute(STORED)}
        counted = client.execute(
            "SELECT anchor, n FROM parts FINAL WHERE anchor LIKE 'customer:cdnow-%'"
        )
    finally:
        client.disconnect()
    assert stored == {c: [purchases[c], disks[c], cents[c]] for c in purchases}
    assert dict(counted) == purchases
    assert sum(told[2] for told in stored.values()) == cents.total()
