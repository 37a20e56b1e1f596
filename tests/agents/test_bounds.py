"""An anchor with more orders than fit a message stops no worker and delays nobody."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID

from schemas import topics
from streams.core.journey import MAX_PROMISES
from streams.delivery import MAX_BATCH
from tests.agents.history import Pipeline

ORDERS = 16_000  # of one customer; a part with all of them would be larger than a message
CHUNK = 1_000


def placed(number: int) -> bytes:
    names = [{"kind": "customer", "value": "reseller"}]
    return json.dumps(
        {
            "event_id": str(UUID(int=number)),
            "occurred_at": f"2026-05-{1 + number % 28:02}T10:00:00Z",
            "channel": "order",
            "type": "placed",
            "order": f"O-{number:06}",
            "promised_at": "2026-06-01T00:00:00Z",
            "identifiers": names,
        }
    ).encode()


def test_a_customer_with_thousands_of_orders_is_counted_to_the_end() -> None:
    async def live() -> None:
        pipeline = Pipeline(1)
        for number in range(1, ORDERS + 1):
            pipeline.send(0, "customer:reseller", placed(number))
        while await pipeline.process((topics.TOUCHPOINTS.name, 0), CHUNK):
            pass
        state = (await pipeline.worker.anchors.get(0)).get("customer:reseller")
        assert state is not None
        assert state.part.n == ORDERS
        assert len(state.part.promises) == MAX_PROMISES
        assert f"O-{ORDERS:06}" in state.part.promises
        sent = [r for log in pipeline.broker.logs.values() for r in log]
        assert max(len(r.key or b"") + len(r.value or b"") for r in sent) < MAX_BATCH // 2

    asyncio.run(live())
