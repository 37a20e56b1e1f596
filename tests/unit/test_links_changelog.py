"""The links topic read back: what was erased stays erased, whatever compaction has left."""

from __future__ import annotations

import msgspec
import pytest

from schemas import topics
from schemas.outcome import Link, erasure_key
from streams.agents.identity import Known, merge_links
from streams.core.identity import Identities
from streams.delivery import Outgoing
from tests.agents.broker import Broker, changelog

LINK = Link("cookie:k", "customer:A", "e-1", 1, "web")
SEEN = LINK.key(), msgspec.json.encode(LINK)
DROPPED = LINK.key(), None
ERASED = erasure_key(["customer:A"]), None


@pytest.mark.parametrize(
    ("records", "customer"),
    [
        ([SEEN], "customer:A"),
        ([SEEN, DROPPED], "cookie:k"),
        ([SEEN, ERASED], "cookie:k"),
        ([SEEN, ERASED, DROPPED], "cookie:k"),
        ([ERASED, DROPPED, SEEN], "customer:A"),
        ([SEEN, DROPPED, SEEN], "customer:A"),
    ],
)
def test_what_counts_is_what_comes_last(
    records: list[tuple[str, bytes | None]], customer: str
) -> None:
    broker = Broker()
    for key, value in records:
        broker.append(Outgoing(topics.LINKS.name, 0, key.encode(), value))
    log = changelog(broker, topics.LINKS.name, merge_links)
    log.learn(broker.read((topics.LINKS.name, 0), 0))
    assert Known(Identities(), log, []).identities.customer_of("cookie:k") == customer
