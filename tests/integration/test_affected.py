"""The ledger's answer to an alert is what the workers counted: the same touchpoints, no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from random import Random

import msgspec
import pytest
from clickhouse_driver import Client

from analytics.affected import RECENT, affected
from schemas.outcome import JourneyStep, Member
from schemas.state import Part
from schemas.touchpoint import CHANNELS
from sinks.clickhouse import connect, prepare
from sinks.rows import IDENTITY_MEMBERS, PARTS, TOUCHPOINTS, PartRow
from sinks.writer import ClickHouseWriter
from streams.core.breakdown import DIMENSIONS, LATE_MS, values_of
from streams.core.signals import is_distressing, is_help
from tests.sink_records import step

pytestmark = pytest.mark.integration

NOW = 1_900_000_000_000
SINCE = NOW - 600_000


@pytest.fixture
def url(clickhouse_url: str) -> str:
    prepare(clickhouse_url)
    return clickhouse_url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    found = connect(url)
    yield found
    found.disconnect()


def drawn(rng: Random, number: int, anchor: str) -> JourneyStep:
    """A touchpoint that may be distressing, or help, in any of the ways there are."""
    fields: dict[str, str] = {}
    for name, values in {
        "product": ("P-1", "P-2", "o'Neil\\"),
        "region": ("north", "جنوب"),
        "campaign": ("nowruz",),
        "resolved": ("true", "false", "false"),
        "direction": ("inbound", "outbound"),
        "rating": tuple("12345"),
        "answer": tuple(map(str, range(11))),
        "survey": ("nps", "csat", "ces"),
    }.items():
        if rng.random() < 0.15 or (name == "product" and rng.random() < 0.5):
            fields[name] = rng.choice(values)
    told = {
        n: rng.choice(("P-1", "north", 7, None, True)) for n in DIMENSIONS if rng.random() < 0.2
    }
    received = NOW - rng.randrange(900_000)
    return step(
        anchor,
        received - rng.choice((0, 1_000, 500_000, LATE_MS, LATE_MS + 1)),
        number,
        channel=rng.choice(CHANNELS),
        type=rng.choice(["page_view"] * 9 + "complaint rage_click delivered returned".split()),
        scorer=rng.choice(("", "1")),
        sentiment=rng.choice((0, 0, 0, -249, -250, -800)),
        distress=rng.choice((0, 0, 0, 299, 300)),
        fields=fields,
        properties=msgspec.json.encode(told).decode(),
        received_ms=received,
    )


def expected(
    steps: list[JourneyStep], owner: dict[str, str], about: dict[str, str]
) -> dict[str, bool]:
    hurt: dict[str, int] = defaultdict(int)
    helped: dict[str, int] = defaultdict(int)
    for one in steps:
        if one.received_ms < SINCE or one.received_ms - one.occurred_ms > LATE_MS:
            continue
        customer = owner.get(one.anchor, one.anchor)
        if is_help(one):
            helped[customer] = max(helped[customer], one.occurred_ms)
        values = dict(zip(DIMENSIONS, values_of(one), strict=True))
        if is_distressing(one) and about.items() <= values.items():
            hurt[customer] = max(hurt[customer], one.occurred_ms)
    return {customer: at > helped[customer] for customer, at in hurt.items()}


@pytest.mark.parametrize("seed", range(3))
def test_the_ledger_finds_whom_the_workers_counted(url: str, client: Client, seed: int) -> None:
    rng = Random(seed)
    anchors = [f"cookie:{n}" for n in range(600)]
    owner = {name: f"customer:{n // 2}" for n, name in enumerate(anchors) if n % 3 == 0}
    steps = [drawn(rng, n, rng.choice(anchors)) for n in range(3_000)]
    writer = ClickHouseWriter(client)
    writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps))
    writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(steps[:500]))  # written twice
    members = [Member(name, customer, 1) for name, customer in owner.items()]
    writer.insert(IDENTITY_MEMBERS, IDENTITY_MEMBERS.rows(members))
    raw = msgspec.Raw(msgspec.json.encode(Part(n=1)))
    parts = [PartRow(name, owner.get(name, name), 1, 1, raw) for name in anchors]
    writer.insert(PARTS, PARTS.rows(parts))
    other = connect(url)
    sizes = []
    for about in (
        {"product": "P-1"},
        {"product": "o'Neil\\"},
        {"region": "جنوب"},
        {"product": "P-1", "region": "north"},
        {"campaign": "nowruz"},
        {"channel": "chat"},
        {"product": "P-1' OR 1=1 --"},
    ):
        wanted = expected(steps, owner, about)
        found = list(affected(client, other, about, SINCE))
        names = [name for name, _ in found]
        assert names == sorted(name for name, still in wanted.items() if still), about
        assert all(parts for _, parts in found)
        sizes.append((len(names), len(wanted)))
    other.disconnect()
    assert all(0 < found < hurt for found, hurt in sizes[:3])
    assert sizes[-1] == (0, 0)


def test_what_came_earlier_is_not_read(client: Client) -> None:
    writer = ClickHouseWriter(client)
    for part in range(4):
        old = [step(f"cookie:{n}", SINCE - LATE_MS // 2, n + 9 * part) for n in range(9)]
        writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(old))
    writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows([step("cookie:0", NOW)]))
    asked = {"since": SINCE, "late": LATE_MS}
    told = client.execute(
        f"EXPLAIN indexes = 1 SELECT count() FROM touchpoints WHERE {RECENT}", asked
    )
    plan = "\n".join(line for (line,) in told)
    skipped = plan[plan.index("by_received") :]
    assert "Parts: 1/" in skipped, plan
