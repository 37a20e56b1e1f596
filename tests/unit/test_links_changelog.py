"""The links topic read back: what was erased stays erased, whatever compaction has left."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from schemas.outcome import Link, erasure_key
from streams.agents.identity import learn_again
from streams.core.identity import Identities

LINK = Link("cookie:k", "customer:A", "e-1", 1, "web")
SEEN = LINK.key(), msgspec.json.encode(LINK)
DROPPED = LINK.key(), None
ERASED = erasure_key(["customer:A"]), None


@dataclass
class Record:
    key: bytes
    value: bytes | None
    offset: int
    topic: str = "identity.links"
    partition: int = 0
    timestamp: int = 0


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
    identities = Identities()
    learn_again(
        identities, [Record(key.encode(), value, n) for n, (key, value) in enumerate(records)]
    )
    assert identities.customer_of("cookie:k") == customer
