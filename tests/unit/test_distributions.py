import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from schemas import topics
from schemas.outcome import CustomerHealth
from schemas.state import PartUpdate
from schemas.touchpoint import CHANNELS
from streams import metrics
from streams.agents.resolve import Resolve, States, merge_states, resolve_touchpoints
from streams.agents.stitch import Customers, Stitch, merge_health, merge_parts, sweep
from streams.core.dead_letter_limit import Verdicts
from streams.core.policy import Policy
from streams.core.rules import RuleSet
from streams.delivery import Outgoing, Written
from streams.metrics import BulkHistogram, SharedGauge
from tests.agents.broker import Broker, changelog
from tests.sink_records import record as sink_record
from tests.unit.health_steps import end_of, part_of, step
from tests.wire import touchpoint


def page(collector: Collector) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_a_histogram_by_labels_counts_up_to_and_including_a_bound() -> None:
    histogram = BulkHistogram("h", "H.", (-0.5, 0.0, 0.5), ("channel", "language"))
    assert page(histogram) == {}
    histogram.observe_all([-0.5, -0.4, 0.5, 0.9], ("chat", "fa"))
    histogram.observe_all([0.0], ("chat", "fa"))
    histogram.observe_all([1.0], ("web", "en"))
    found = page(histogram)
    assert found['h_bucket{channel="chat",language="fa",le="-0.5"}'] == 1
    assert found['h_bucket{channel="chat",language="fa",le="0.0"}'] == 3
    assert found['h_bucket{channel="chat",language="fa",le="0.5"}'] == 4
    assert found['h_bucket{channel="chat",language="fa",le="+Inf"}'] == 5
    assert found['h_bucket{channel="web",language="en",le="0.5"}'] == 0


def customers_of(broker: Broker) -> Customers:
    return Customers(
        changelog(broker, topics.PARTS.name, merge_parts),
        changelog(broker, topics.CUSTOMERS.name, merge_health),
    )


def test_a_shared_gauge_sums_what_is_still_held() -> None:
    gauge = SharedGauge("g", "G.", ("segment", "band"))
    one, other = customers_of(Broker()), customers_of(Broker())
    one.counts = {("lost", "red"): 2}
    other.counts = {("lost", "red"): 3, ("none", "green"): 1}
    for part in (one, other, one):
        gauge.share(part)
    assert page(gauge) == {
        'g{band="red",segment="lost"}': 5,
        'g{band="green",segment="none"}': 1,
    } or page(gauge) == {
        'g{segment="lost",band="red"}': 5,
        'g{segment="none",band="green"}': 1,
    }
    del other, part
    assert list(page(gauge).values()) == [2]


def test_texts_are_counted_once_by_channel_and_language() -> None:
    broker = Broker()

    async def deliver(records: list[Outgoing]) -> list[Written]:
        return broker.take(records)

    told = touchpoint(
        1, channel="chat", type="message", direction="inbound", text="این خدمات افتضاح است"
    )
    anchor = "cookie:c-1"
    value = msgspec.json.encode(told)
    record = replace(sink_record(topics.TOUCHPOINTS.name, value), timestamp=1, key=anchor.encode())
    label = 'journey_text_sentiment_bucket{channel="chat",language="fa",le="+Inf"}'
    before = page(metrics.SENTIMENT).get(label, 0)
    broken = (
        'journey_breakdown_distressing_total{breakdown="channel",campaign="",channel="chat",'
        'product="",region=""}'
    )
    distressing = page(metrics.BREAKDOWN)[broken]
    agent = Resolve(deliver, 1, b"k", "IR")
    states = States(changelog(broker, topics.ANCHORS.name, merge_states))
    for _ in range(2):
        now = datetime(2026, 11, 22, 12, tzinfo=UTC)
        asyncio.run(resolve_touchpoints(agent, states, Verdicts(), 0, [record], now))
    assert page(metrics.SENTIMENT)[label] == before + 1
    assert page(metrics.BREAKDOWN)[broken] == distressing + 1
    assert label.replace("sentiment", "distress") in page(metrics.DISTRESS)
    assert "chat" in CHANNELS


def test_a_sweep_publishes_a_changed_segment_and_counts_customers() -> None:
    broker = Broker()

    async def deliver(records: list[Outgoing]) -> list[Written]:
        return broker.take(records)

    customers = customers_of(broker)
    part = part_of([step(day, "order:placed", amount=5_000) for day in (0, 5)])
    update = msgspec.json.encode(PartUpdate("customer:C-1", "customer:C-1", 0, 2, part))
    broker.append(Outgoing(topics.PARTS.name, 0, b"customer:C-1\0customer:C-1", update))
    customers.take(broker.read((topics.PARTS.name, 0), 0))
    agent = Stitch(deliver, Policy(), RuleSet())

    def swept(day: int) -> list[CustomerHealth]:
        place = topics.CUSTOMERS.name, 0
        before = broker.ends[place]
        asyncio.run(sweep(agent, customers, 1, end_of(day)))
        return [
            msgspec.json.decode(each.value or b"", type=CustomerHealth)
            for each in broker.read(place, before)
        ]

    assert [row.segment for row in swept(6)] == ["promising"]
    assert swept(6) == []
    assert customers.counts == {("promising", "green"): 1}
    known = customers.published("customer:C-1")
    assert known is not None
    lost = msgspec.json.encode(msgspec.structs.replace(known, segment="lost"))
    asyncio.run(customers.health.append([(b"customer:C-1", lost)]))
    (row,) = swept(6)
    assert (row.segment, row.health) == ("promising", known.health)
    assert any("promising" in line for line in page(metrics.CUSTOMERS))
