"""Alertmanager's webhook to requests in Kafka: who may ask, what is refused, and what is away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition

from deploy.local.process import free_ports
from schemas.outcome import JourneyStep, OutreachRequest
from schemas.state import Part
from schemas.topics import REQUESTS
from sinks.clickhouse import connect
from sinks.rows import PARTS, TOUCHPOINTS, PartRow
from sinks.writer import ClickHouseWriter
from streams.core.journey import apply
from tests.integration.pipeline import Pipeline, pipeline, until
from tests.sink_records import step
from tests.unit.test_alerts import WEBHOOK

pytestmark = [pytest.mark.integration, pytest.mark.broker]

TOKEN = "s3cret"
AFFECTED = {"customer:a", "customer:c", "customer:late"}
LABELS = WEBHOOK["alerts"][0]["labels"]


def hurt(customer: str, at_ms: int, number: int, **fields: str) -> JourneyStep:
    told = {"product": "P-1", "region": "north"} | fields
    return step(customer, at_ms, number, channel="packaging", type="complaint", fields=told)


def store(url: str, *steps: JourneyStep) -> None:
    client = connect(url)
    writer = ClickHouseWriter(client)
    writer.insert(TOUCHPOINTS, TOUCHPOINTS.rows(list(steps)))
    parts: dict[str, Part] = {}
    for one in steps:
        apply(parts.setdefault(one.anchor, Part()), one)
    rows = [
        PartRow(anchor, anchor, 0, part.n, msgspec.Raw(msgspec.json.encode(part)))
        for anchor, part in parts.items()
    ]
    writer.insert(PARTS, PARTS.rows(rows))
    client.disconnect()


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory, clickhouse_port: int) -> Iterator[Pipeline]:
    url = f"clickhouse://default@127.0.0.1:{clickhouse_port}/receiver"
    with pipeline(tmp_path_factory.mktemp("pipe"), url) as found:
        (port,) = free_ports(1)
        given = {"receiver_token": TOKEN, "receiver_port": port}
        found.settings = found.settings.model_copy(update=given)
        now = time.time_ns() // 1_000_000
        store(
            url,
            hurt("customer:a", now - 2_000, 1),
            hurt("customer:b", now - 2_000, 2, region="south"),
            hurt("customer:c", now - 2_000, 3),
            hurt("customer:old", now - 3_600_000, 4),
            hurt("customer:helped", now - 2_000, 5),
            step("customer:helped", now - 1_000, 6, type="closed", fields={"resolved": "true"}),
            step("customer:content", now - 2_000, 7, fields={"product": "P-1", "region": "north"}),
        )
        found.start("receiver")
        until(lambda: found.is_ready("receiver"), found.told)
        store(url, hurt("customer:late", now - 500, 8))
        yield found


def post(pipe: Pipeline, body: Any, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(
        f"http://127.0.0.1:{pipe.settings.receiver_port}/alerts",
        sent,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def webhook(**changes: Any) -> dict[str, Any]:
    """An alert that began now."""
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return WEBHOOK | {"alerts": [WEBHOOK["alerts"][0] | {"startsAt": began} | changes]}


def requests(pipe: Pipeline) -> list[OutreachRequest]:
    """Everything in the topic, in order."""
    consumer = KafkaConsumer(bootstrap_servers=pipe.settings.kafka, auto_offset_reset="earliest")
    partition = TopicPartition(REQUESTS.name, 0)
    consumer.assign([partition])
    found: list[OutreachRequest] = []
    while batch := consumer.poll(timeout_ms=1_000).get(partition):
        found += [msgspec.json.decode(one.value, type=OutreachRequest) for one in batch]
    consumer.close()
    return found


def test_an_alert_asks_for_those_affected_and_told_again_asks_the_same(pipe: Pipeline) -> None:
    before = len(requests(pipe))
    alert = webhook()
    assert post(pipe, alert) == (200, {"alerts": 1, "requests": 3})
    first = requests(pipe)[before:]
    assert {one.customer for one in first} == AFFECTED
    assert {(one.rule, one.channel) for one in first} == {("product_trouble", "call_task")}
    assert all("P-1" in one.subject for one in first)
    alert["alerts"] *= 2  # and by a second Alertmanager
    assert post(pipe, alert) == (200, {"alerts": 2, "requests": 6})
    again = requests(pipe)[before + 3 :]
    assert {one.decision_id for one in again} == {one.decision_id for one in first}


def test_what_asks_for_nothing_is_taken(pipe: Pipeline) -> None:
    for changes in (
        {"status": "resolved"},
        {"labels": LABELS | {"alertname": "JourneyLag"}},
        {"labels": LABELS | {"product": "other", "region": "other"}},
        {"labels": LABELS | {"product": "P-1' OR '1'='1"}},
    ):
        status, told = post(pipe, webhook(**changes))
        assert (status, told["requests"]) == (200, 0)


@pytest.mark.parametrize(
    ("body", "token", "status", "error"),
    [
        (webhook(), "other", 401, "the bearer token is not ours"),
        (b"", "", 401, "the bearer token is not ours"),
        (b"{", TOKEN, 400, "body: Invalid JSON"),
        (webhook(fingerprint=7), TOKEN, 400, "alerts[0].fingerprint: Input should be a valid str"),
    ],
)
def test_who_may_not_ask_or_asks_nonsense_is_refused(
    pipe: Pipeline, body: Any, token: str, status: int, error: str
) -> None:
    found, told = post(pipe, body, token)
    assert found == status
    assert told["error"].startswith(error)
    assert TOKEN not in json.dumps(told)


def test_what_it_needs_is_away_and_comes_back(pipe: Pipeline) -> None:
    alert = webhook()
    for dependency, way, name in (
        ("kafka", pipe.broker, "Kafka"),
        ("clickhouse", pipe.database, "ClickHouse"),
    ):
        way.refuse()
        status, told = post(pipe, alert)
        assert (status, told["error"].partition(":")[0]) == (503, name)
        until(lambda away=dependency: pipe.waits_for("receiver", away), pipe.told)
        way.restore()
        until(lambda: post(pipe, alert)[0] == 200, pipe.told)
        until(lambda: pipe.is_ready("receiver"), pipe.told)
    assert pipe.never_ended()
    for outcome in ("taken", "unavailable"):
        assert pipe.metric("journey_webhooks_total", "receiver", outcome=outcome) > 0
    log = pipe.parts["receiver"].output()
    assert "customer:a" not in log
    assert TOKEN not in log
