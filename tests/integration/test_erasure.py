"""A person is given out and erased: searched for in every byte on disk, before and after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid4, uuid5

import pytest
from clickhouse_driver import Client
from kafka.admin import ConfigResource, ConfigResourceType

from deploy.local import kafka
from deploy.local.stack import Stack
from producers.publisher import Publisher, prepare
from schemas import topics
from schemas.settings import load
from sinks.clickhouse import connect
from streams.cluster import administer
from streams.core.identifiers import normalise
from tests.disk_search import find
from tests.integration.journey import answer, journey, until
from tests.servers import BROKER, BROKER_FORGETS

pytestmark = [pytest.mark.integration, pytest.mark.broker]

MARKER_EN, MARKER_FA = "zebra-lighthouse-7718", "گورخر‌فانوس۷۷۱۸"
EMAIL, PHONE = "nasrin.k@kaveh-mail.ir", "۰۹۱۲۷۷۱۸۲۲۴"
CUSTOMER, COOKIE, DEVICE, ORDER = "nasrin-7718", "ck-nasrin-7718", "dv-nasrin-7718", "ORD-7718-N"
TABLET = "tablet-of-both-7718"  # seen with Nasrin and with her neighbour
NEIGHBOUR, NEIGHBOURS_EMAIL = "behrouz-1401", "behrouz@kaveh-mail.ir"
# Kafka cleans its log at once rather than every five minutes, and what is in it can be read.
BROKER_OPTIONS: Final = {
    "log.cleaner.backoff.ms": "100",
    "log.retention.check.interval.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "100",
}
numbers = count()


def touch(*names: tuple[str, str], **told: Any) -> dict[str, Any]:
    moment = datetime.now(UTC) - timedelta(hours=told.pop("hours", 2))
    return {
        "event_id": str(uuid4()),
        "occurred_at": moment.isoformat(timespec="milliseconds"),
        "channel": "web",
        "type": "page_view",
        "identifiers": [{"kind": kind, "value": value} for kind, value in names],
        **told,
    }


def complaints(who: tuple[str, str], text: str) -> list[dict[str, Any]]:
    return [
        touch(
            who,
            channel="call_center",
            type="call",
            hours=hours,
            wait_seconds=1800,
            transfers=2,
            resolved=False,
            text=text,
        )
        for hours in (20, 10, 5, 3)
    ]


def past() -> list[dict[str, Any]]:
    nasrin, behrouz = ("customer", CUSTOMER), ("customer", NEIGHBOUR)
    return [
        touch(("cookie", COOKIE)),
        touch(nasrin, ("cookie", COOKIE), ("email", EMAIL), hours=30),
        touch(nasrin, ("phone", PHONE), ("device", DEVICE), channel="app", type="screen_view"),
        touch(
            nasrin,
            ("order", ORDER),
            channel="order",
            type="placed",
            order=ORDER,
            amount_minor=5,
            currency="IRR",
        ),  # fmt: skip
        touch(("order", ORDER), channel="order", type="shipped", order=ORDER),
        *complaints(("phone", PHONE), f"بار سوم است و هیچ‌کس جواب نمی‌دهد، افتضاح است! {MARKER_FA}"),
        touch(
            ("email", EMAIL),
            channel="chat",
            type="message",
            direction="inbound",
            text=f"Unacceptable, I will cancel. {MARKER_EN}",
        ),  # fmt: skip
        touch(nasrin, ("device", TABLET)),
        touch(behrouz, ("device", TABLET)),
        touch(("device", TABLET)),
        touch(behrouz, ("email", NEIGHBOURS_EMAIL)),
        touch(behrouz, ("email", EMAIL)),  # typed hers once: a conflict, not applied
        *complaints(behrouz, "This is unacceptable, nobody calls back!"),
    ]


def rejected() -> list[bytes]:
    """Two that name her and are no touchpoints, and the neighbour's."""
    return [
        json.dumps({"channel": "fax", "mail": EMAIL, "text": MARKER_EN}).encode(),
        f'{{"channel": "web", "text": "{MARKER_FA}", "phone": "{PHONE}"'.encode(),
        json.dumps({"channel": "fax", "mail": NEIGHBOURS_EMAIL}).encode(),
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = load(BROKER | {"JOURNEY_PARTITIONS": "2"}, data=tmp_path_factory.mktemp("erasure"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kafka, "prepare", partial(kafka.prepare, extra=BROKER_OPTIONS))
        running = Stack(settings, workers=1, port_base=None, report=lambda *_: None)
        running.start(fresh=False)
        try:
            if not BROKER_FORGETS:
                configure(running, {"compression.type": "uncompressed"})
            yield running
        finally:
            running.stop(drain=False)


def configure(stack: Stack, options: dict[str, str], compacted: bool | None = None) -> None:
    chosen = [t.name for t in topics.TOPICS if compacted is None or t.compacted == compacted]
    with administer(stack.settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, t, options) for t in chosen])


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    client = connect(stack.settings.clickhouse.get_secret_value())
    yield client
    client.disconnect()


def send(stack: Stack, touchpoints: list[dict[str, Any]], raw: list[bytes] | None = None) -> None:
    key, region = stack.settings.identity_key_bytes(), stack.settings.phone_region
    with Publisher(stack.settings) as publisher:
        for touchpoint in touchpoints:
            anchor, wire = prepare(touchpoint, key, region)
            publisher.publish(wire, anchor)
        for record in raw or ():
            publisher.publish(record, "")


def hers(stack: Stack) -> list[str]:
    key, region = stack.settings.identity_key_bytes(), stack.settings.phone_region
    named = (("customer", CUSTOMER), ("email", EMAIL), ("phone", PHONE), ("order", ORDER),
             ("device", DEVICE), ("cookie", COOKIE))  # fmt: skip
    return [normalise(kind, value, key, region) for kind, value in named]


def needles(stack: Stack) -> list[bytes]:
    """Her identifiers as typed and as hashed, and the marker as text and as base64 of a letter."""
    typed = [CUSTOMER, EMAIL, PHONE, "+989127718224", ORDER, DEVICE, COOKIE]
    values = [name.partition(":")[2] for name in hers(stack)]
    return [text.encode() for text in {*typed, *values, MARKER_EN, MARKER_FA}]


def rows_of_the_neighbour(client: Client) -> list[Any]:
    ledger = client.execute(
        "SELECT * FROM touchpoints FINAL WHERE anchor = %(who)s AND NOT has(identifiers, %(her)s) "
        "ORDER BY event_id",
        {"who": f"customer:{NEIGHBOUR}", "her": ""},
    )
    health = client.execute(
        "SELECT customer, evaluated_at, health, touchpoints, reached FROM customers "
        "WHERE customer = %(who)s",
        {"who": f"customer:{NEIGHBOUR}"},
    )
    outreach = client.execute(
        "SELECT * FROM outreach FINAL WHERE customer = %(who)s ORDER BY decision_id",
        {"who": f"customer:{NEIGHBOUR}"},
    )
    return [ledger, health, outreach]


def test_a_person_is_given_out_and_erased(stack: Stack, client: Client) -> None:
    data = stack.settings.data
    send(stack, past(), rejected())
    until(lambda: len(client.execute("SELECT 1 FROM dead_letters FINAL")) == 3, "dead letters")
    names = dict(zip(("customer", "email", "phone", "order", "device", "cookie"), hers(stack),
                     strict=True))  # fmt: skip
    done = journey(data, "identity", "link", names["cookie"], names["device"], "--reason", "hers")
    assert done.returncode == 0, done.stderr
    until(
        lambda: (
            {f"customer:{CUSTOMER}", f"customer:{NEIGHBOUR}"}
            <= {row[0] for row in client.execute("SELECT customer FROM outreach")}
        ),
        "outreach to both",
    )
    found = find(data, needles(stack))
    assert set(found) == set(needles(stack)) - {b"+989127718224"}
    kept = {name.split("/")[0] for names in found.values() for name in names}
    assert kept == {"clickhouse"} | (set() if BROKER_FORGETS else {"kafka"})

    exported = answer_of_export(data, PHONE)
    assert exported["identifiers"] == hers(stack)
    assert exported["shared"] == [f"device:{TABLET}"]
    assert len(exported["dead_letters"]) == 2
    assert len(exported["touchpoints"]) == 12
    assert any(link["action"] == "join" for link in exported["identity_links"])
    assert exported["health"] and exported["outreach"]
    assert exported["mentions"] == 1
    assert MARKER_FA in json.dumps(exported, ensure_ascii=False)
    before = rows_of_the_neighbour(client)

    receipt = answer(data, "erase", PHONE, "--yes")

    assert receipt["identifiers"] == 6
    for store in ("touchpoints", "dead_letters", "outreach", "mentions"):
        expected = exported[store] if store == "mentions" else len(exported[store])
        assert receipt["rows"][store] == expected, store
    told = json.dumps(receipt, ensure_ascii=False)
    assert not [needle for needle in needles(stack) if needle.decode() in told]
    gone = journey(data, "export", PHONE)
    assert gone.returncode == 1
    assert "is not known" in gone.stderr
    ledger, *others = rows_of_the_neighbour(client)
    assert others == before[1:]
    mentioned = names["email"]
    assert ledger == [
        tuple(
            [i for i in each if i != mentioned] if isinstance(each, list) else each for each in row
        )
        for row in before[0]
    ]
    assert client.execute("SELECT customer FROM identity WHERE identifier = %(i)s",
                          {"i": f"device:{TABLET}"}) == [(f"customer:{NEIGHBOUR}",)]  # fmt: skip
    assert client.execute("SELECT count() FROM erasing") == [(0,)]
    assert journey(data, "reconcile").returncode == 0


def answer_of_export(data: Path, who: str) -> dict[str, Any]:
    done = journey(data, "export", who)
    assert done.returncode == 0, done.stderr
    exported: dict[str, Any] = json.loads(done.stdout)
    return exported
