"""A person is given out and erased: searched for in every byte on disk, before and after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Final
from uuid import uuid4

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
from streams.worker import MERGES
from tests.disk_search import find
from tests.integration.journey import COMMAND, answer, is_alive, journey, until
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
    "log.index.size.max.bytes": "65536",
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
    order = {"channel": "order", "order": ORDER}
    chat = {"channel": "chat", "type": "message", "direction": "inbound"}
    return [
        touch(("cookie", COOKIE)),
        touch(nasrin, ("cookie", COOKIE), ("email", EMAIL), hours=30),
        touch(nasrin, ("phone", PHONE), ("device", DEVICE), channel="app", type="screen_view"),
        touch(nasrin, account="kaveh-holding", properties={"role": "decision_maker"}),
        touch(nasrin, ("order", ORDER), **order, type="placed", amount_minor=5, currency="IRR"),
        touch(("order", ORDER), **order, type="shipped"),
        *complaints(("phone", PHONE), f"بار سوم است و کسی جواب نمی‌دهد، افتضاح! {MARKER_FA}"),
        touch(("email", EMAIL), **chat, text=f"Unacceptable, I will cancel. {MARKER_EN}"),
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
                configure(running, lambda _: {"compression.type": "uncompressed"})
            yield running
        finally:
            running.stop(drain=False)


def configure(stack: Stack, options: Callable[[topics.Topic], dict[str, str]]) -> None:
    with administer(stack.settings) as admin:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, t.name, options(t)) for t in topics.TOPICS]
        )


def soon_clean(topic: topics.Topic) -> dict[str, str]:
    """The topic's own options with half a second in the place of days."""
    days = {name: value for name, value in topic.config(1).items() if name.endswith(".ms")}
    return dict.fromkeys(days, "500") | {"min.cleanable.dirty.ratio": "0"}


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
    named = {"customer": CUSTOMER, "email": EMAIL, "phone": PHONE, "order": ORDER}
    things = {"device": DEVICE, "cookie": COOKIE}
    return [normalise(kind, value, key, region) for kind, value in (named | things).items()]


def needles(stack: Stack) -> list[bytes]:
    """Her identifiers as typed and as hashed, and the markers in her texts."""
    typed = [CUSTOMER, EMAIL, PHONE, ORDER, DEVICE, COOKIE]
    values = [name.partition(":")[2] for name in hers(stack)]
    return [text.encode() for text in {*typed, *values, MARKER_EN, MARKER_FA}]


def of_the_neighbour(client: Client) -> list[list[Any]]:
    """His rows of the ledger, his health and what outreach decided."""
    queries = (
        "SELECT * FROM touchpoints FINAL WHERE anchor = %(who)s ORDER BY event_id",
        "SELECT * FROM health FINAL WHERE customer = %(who)s",
        "SELECT * FROM outreach FINAL WHERE customer = %(who)s ORDER BY decision_id",
    )
    return [client.execute(query, {"who": f"customer:{NEIGHBOUR}"}) for query in queries]


def export(stack: Stack, who: str) -> dict[str, Any]:
    done = journey(stack.settings.data, "export", who)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@dataclass(frozen=True)
class Erased:
    """What was before an erasure, and its receipt."""

    places: dict[bytes, set[str]]  # needle -> files
    export: dict[str, Any]
    neighbour: list[list[Any]]
    receipt: dict[str, Any]


@pytest.fixture(scope="module")
def erased(stack: Stack) -> Erased:
    data, client = stack.settings.data, connect(stack.settings.clickhouse.get_secret_value())
    send(stack, past(), rejected())
    until(lambda: len(client.execute("SELECT 1 FROM dead_letters FINAL")) == 3, "dead letters")
    cookie, device = f"cookie:{COOKIE}", f"device:{DEVICE}"
    done = journey(data, "identity", "link", cookie, device, "--reason", "hers")
    assert done.returncode == 0, done.stderr
    until(
        lambda: (
            {f"customer:{CUSTOMER}", f"customer:{NEIGHBOUR}"}
            <= {row[0] for row in client.execute("SELECT customer FROM outreach")}
        ),
        "outreach to both",
    )
    # Decided on while her device was thought to be his. (The agents' simulation has the topic.)
    client.execute(
        "INSERT INTO outreach (customer, decision_id, rule, identifiers) VALUES",
        [(f"customer:{NEIGHBOUR}", "mention", "late", [device, f"customer:{NEIGHBOUR}"])],
    )
    places = find(data, needles(stack))
    exported, neighbour = export(stack, PHONE), of_the_neighbour(client)
    client.disconnect()
    return Erased(places, exported, neighbour, answer(data, "erase", PHONE, "--yes"))


def test_what_is_searched_for_was_in_every_store(stack: Stack, erased: Erased) -> None:
    assert set(erased.places) == set(needles(stack))
    files = {file for found in erased.places.values() for file in found}
    stores = {file.split("/")[0] for file in files}
    assert stores == ({"clickhouse"} if BROKER_FORGETS else {"clickhouse", "kafka", "state"})
    state = {file.split("/")[2].rpartition("-")[0] for file in files if file.startswith("state/")}
    assert state == (set() if BROKER_FORGETS else set(MERGES))


def test_the_export_has_all_that_is_held(stack: Stack, erased: Erased) -> None:
    given = erased.export
    assert given["identifiers"] == hers(stack)
    assert given["shared"] == [f"device:{TABLET}"]
    assert len(given["dead_letters"]) == 2
    assert len(given["touchpoints"]) == 13
    assert {row["weakest"] for row in given["accounts"]} <= set(hers(stack))
    assert given["accounts"][-1]["contacts"] == 1
    assert {link["action"] for link in given["identity_links"]} == {"seen", "join"}
    reached = {row["customer"] for row in given["outreach"]}
    assert f"customer:{CUSTOMER}" in reached
    assert reached <= set(hers(stack))  # the phone called before it was known to be hers
    assert given["health"]
    assert given["mentions"] == 2
    assert MARKER_FA in json.dumps(given, ensure_ascii=False)


def test_the_receipt_counts_and_names_nobody(stack: Stack, erased: Erased, client: Client) -> None:
    receipt, given = erased.receipt, erased.export
    assert receipt["identifiers"] == 6
    for store in ("touchpoints", "dead_letters", "outreach"):
        assert receipt["rows"][store] == len(given[store]), store
    assert receipt["rows"]["mentions"] == 2
    told = json.dumps(receipt, ensure_ascii=False)
    assert not [needle for needle in needles(stack) if needle.decode() in told]
    stored = client.execute("SELECT toString(id), identifiers, rows FROM erasures FINAL")
    assert stored == [(receipt["id"], 6, receipt["rows"])]
    assert client.execute("SELECT count() FROM erasing") == [(0,)]


def test_nobody_is_known_and_the_neighbour_is_unharmed(
    stack: Stack, erased: Erased, client: Client
) -> None:
    gone = journey(stack.settings.data, "export", PHONE)
    assert gone.returncode == 1
    assert "is not known" in gone.stderr
    hers_too = set(hers(stack))
    before = [
        [
            tuple(
                [name for name in each if name not in hers_too] if isinstance(each, list) else each
                for each in row
            )
            for row in rows
        ]
        for rows in erased.neighbour
    ]
    assert of_the_neighbour(client) == before
    newest = "SELECT contacts, weakest FROM accounts ORDER BY evaluated_at DESC LIMIT 1"
    assert client.execute(newest) == [(0, "")]
    whose = "SELECT customer FROM identity WHERE identifier = %(tablet)s"
    assert client.execute(whose, {"tablet": f"device:{TABLET}"}) == [(f"customer:{NEIGHBOUR}",)]
    assert len(client.execute("SELECT 1 FROM dead_letters FINAL")) == 1
    assert journey(stack.settings.data, "reconcile").returncode == 0


def test_no_byte_of_hers_is_left_on_disk(stack: Stack, erased: Erased) -> None:
    if not BROKER_FORGETS:
        configure(stack, soon_clean)
    folders = {"clickhouse", "kafka", "logs", "state"}
    left: dict[bytes, set[str]] = {}

    def clean() -> bool:
        # Others go on: Kafka closes segments as it writes.
        sent = []
        for n in range(12):
            other, browser = ("customer", f"other-{n}"), ("cookie", f"browser-{next(numbers)}")
            sent.append(touch(other, browser, account=f"company-{n}"))
        angry = ("customer", f"angry-{next(numbers)}")
        send(stack, [*sent, *complaints(angry, "This is unacceptable!")])
        left.clear()
        for folder in folders:
            for needle, files in find(stack.settings.data / folder, needles(stack)).items():
                left.setdefault(needle, set()).update(f"{folder}/{file}" for file in files)
        return not left

    deadline = time.monotonic() + 120
    while not clean():
        assert time.monotonic() < deadline, left
        time.sleep(0.5)
    if not BROKER_FORGETS:
        configure(stack, lambda topic: topic.config(1))


def test_a_later_touchpoint_begins_anew(stack: Stack, erased: Erased) -> None:
    send(stack, [touch(("customer", CUSTOMER), ("cookie", COOKIE), text="سلام، قیمت چند است؟")])
    customer = f"customer:{CUSTOMER}"

    def begins_anew() -> None:
        given = export(stack, customer)
        assert given["identifiers"] == [customer, f"cookie:{COOKIE}"]
        assert [row["text"] for row in given["touchpoints"]] == ["سلام، قیمت چند است؟"]
        assert {row["touchpoints"] for row in given["health"]} <= {1}
        assert not given["outreach"]
        assert not given["dead_letters"]
        assert journey(stack.settings.data, "reconcile").returncode == 0

    def known() -> bool:
        done = journey(stack.settings.data, "export", customer)
        return done.returncode == 0 and len(json.loads(done.stdout)["identity_members"]) == 1

    until(known, "the later touchpoint")
    begins_anew()
    worker = json.loads((stack.settings.data / "stack.json").read_text())["processes"]["worker-1"]
    os.kill(worker, signal.SIGKILL)
    until(lambda: not is_alive(worker), "the worker lives")
    send(stack, [touch(("customer", "somebody"))])

    def counts_again() -> bool:
        stack.watch()
        return journey(stack.settings.data, "export", "customer:somebody").returncode == 0

    until(counts_again, "the worker counts again")
    begins_anew()
    stack.stop()
    stack.start(fresh=False)  # where the broker forgets, rebuilt from the ledger
    begins_anew()


@pytest.mark.parametrize("after", [0.0, 0.4, 0.8, 1.6])
def test_an_erasure_that_was_killed_is_completed_by_the_next(
    stack: Stack, client: Client, after: float
) -> None:
    who, cookie = f"leila-{after}", f"browser-of-leila-{after}"
    send(stack, [touch(("customer", who), ("cookie", cookie)), touch(("cookie", cookie))])
    held = "SELECT count() FROM touchpoints WHERE anchor IN %(names)s"
    names = {"names": (f"customer:{who}", f"cookie:{cookie}")}
    until(lambda: client.execute(held, names) == [(2,)], "the ledger")
    begun = "SELECT count() FROM erasing"
    first = subprocess.Popen(
        [COMMAND, "--data", str(stack.settings.data), "erase", f"cookie:{cookie}", "--yes"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: client.execute(begun) != [(0,)], "the erasure does not begin")
    time.sleep(after)  # where it is killed is chance
    first.kill()
    first.wait()
    done = journey(stack.settings.data, "erase", f"cookie:{cookie}", "--yes")
    assert done.returncode == 0 or "is not known" in done.stderr, done.stderr
    assert client.execute(held, names) == [(0,)]
    assert client.execute(begun) == [(0,)]
    assert journey(stack.settings.data, "export", f"customer:{who}").returncode == 1
