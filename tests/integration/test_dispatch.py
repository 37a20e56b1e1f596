"""The dispatcher as a process, with real servers at its other end that do all they can do."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import re
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as MAIL
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from deploy.local.process import Process, free_ports
from deploy.local.scrape import probe, scrape, total
from producers.publisher import Publisher
from schemas import topics
from schemas.outcome import OutreachDecision, OutreachOutcome, Status
from schemas.settings import Settings
from sinks.dispatch.lane import CAPACITY
from streams.cluster import DISPATCH, committed, declare
from tests.certificates import Authority
from tests.endpoint import SECRET, Answer, Endpoint, Received, serving
from tests.faults.check import newest, records

pytestmark = pytest.mark.integration
PATIENCE = 120.0
ADDRESS, PHONE = "reza@example.org", "+989121234567"
FA = {"subject": "سفارش شما دیر شده است", "body": "سلام،\n.انتخاب با شماست: {link}"}
EN = {"subject": "Your order is late", "body": "Hello,\nyou can choose: {link}"}


def until(true: Callable[[], object], otherwise: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


class Dispatch:
    """A dispatcher that a test starts, kills and asks."""

    def __init__(self, folder: Path, broker_port: int) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        self.settings = Settings(kafka=f"127.0.0.1:{broker_port}", partitions=2)
        self.process: Process | None = None
        self._sent = 0
        declare(self.settings)

    def start(self, endpoints: str) -> None:
        file = self.folder / "endpoints.yaml"
        file.write_text(endpoints, encoding="utf-8")
        given = {
            "JOURNEY_KAFKA": self.settings.kafka,
            "JOURNEY_ENDPOINTS_FILE": str(file),
            "JOURNEY_METRICS_PORT": str(self.port),
            "SECRET": SECRET,
            "TOKEN": "Bearer t0ken",
            "PASSWORD": "p4ss",
        }
        others = {n: value for n, value in os.environ.items() if not n.startswith("JOURNEY_")}
        command = [sys.executable, "-m", "sinks.outreach"]
        self.process = Process("dispatch", command, others | given, self.folder / "log")

    def kill(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        until(lambda: self.process and self.process.returncode() is not None)

    def stop(self) -> int | None:
        if self.process is None:
            return None
        self.process.stop(20)
        return self.process.returncode()

    def decide(self, count: int, channel: str, **given: Any) -> list[OutreachDecision]:
        """Decisions that were taken, in the topic."""
        now = time.time_ns() // 1_000_000
        fields = {"expires_ms": now + 3_600_000, "language": "en", **EN, **given}
        made = [
            OutreachDecision(
                f"d{n}", f"customer:c{n}", "late", now, True, "", 40, 500, channel, **fields
            )
            for n in range(self._sent, self._sent + count)
        ]
        self._sent += count
        self.publish(made)
        return made

    def publish(self, made: list[OutreachDecision]) -> None:
        with Publisher(self.settings) as publisher:
            for one in made:
                publisher.publish(msgspec.json.encode(one), one.key(), topics.OUTREACH.name)

    def remove(self, *made: OutreachDecision) -> None:
        with Publisher(self.settings) as publisher:
            for one in made:
                publisher.publish(None, one.key(), topics.OUTREACH.name)

    def outcomes(self) -> dict[str, OutreachOutcome]:
        found = newest(self.settings, topics.OUTCOMES).values()
        return {one.decision_id: one for one in map(OUTCOME.decode, found)}

    def status(self, made: OutreachDecision) -> Status | None:
        found = self.outcomes().get(made.decision_id)
        return None if found is None else found.status

    def await_outcomes(self, made: list[OutreachDecision], status: Status) -> None:
        ids = {one.decision_id for one in made}

        def there() -> bool:
            found = self.outcomes()
            return all(id_ in found and found[id_].final for id_ in ids)

        until(there, lambda: f"{self.tally(ids)} {self.log()}")
        assert self.tally(ids) == {status: len(ids)}

    def tally(self, ids: set[str]) -> dict[str, int]:
        found = self.outcomes()
        told = [str(found[id_].status) if id_ in found else "" for id_ in ids]
        return {one: told.count(one) for one in set(told)}

    def metric(self, name: str, **labels: str) -> float:
        return total([scrape(self.port)], name, **labels)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3_000:]

    def memory(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])


OUTCOME = msgspec.json.Decoder(OutreachOutcome)


@pytest.fixture
def dispatch(tmp_path: Path, broker_port: int) -> Iterator[Dispatch]:
    found = Dispatch(tmp_path, broker_port)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as found:
        yield found


class Mailbox:
    """A mail server's inbox; `reply` is what it says to a message."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.seconds = 0.0
        self.unknown: set[str] = set()

    async def handle_RCPT(  # noqa: N802 (aiosmtpd asks for it)
        self, _server: SMTP, _session: Session, envelope: Envelope, to: str, _options: list[str]
    ) -> str:
        if to in self.unknown:
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        found: Any = message_from_bytes(envelope.content, policy=MAIL)
        self.mails.append(found)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return "250 OK"


@contextmanager
def mail_server(mailbox: Mailbox, folder: Path) -> Iterator[tuple[int, Path]]:
    """The port of a server that wants STARTTLS and a login, and the CA that signed it."""
    authority = Authority(folder, "mail")
    signed = authority.sign("mail")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(signed.certificate, signed.key)

    def login(_server: Any, _session: Any, _envelope: Any, _how: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"care", b"p4ss"))

    (port,) = free_ports(1)
    server = Controller(
        mailbox,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=login,
    )
    server.start()
    try:
        yield port, authority.file
    finally:
        server.stop(no_assert=True)


def mail_endpoint(port: int, ca: Path, **more: object) -> str:
    given = {"host": "127.0.0.1", "port": port, "ca": ca, "username": "care"}
    given |= {"password": "PASSWORD", "from": "خدمات مشتریان <care@example.com>", **more}
    return "email: {" + ", ".join(f'{name}: "{value}"' for name, value in given.items()) + "}\n"


def webhook(name: str, endpoint: Endpoint, **more: object) -> str:
    given = {"url": endpoint.url(f"/{name}"), "secret": "SECRET", **more}
    return f"{name}: {{{', '.join(f'{key}: {value}' for key, value in given.items())}}}\n"


def addresses(received: Received) -> Answer:
    if received.path != "/address":
        return Answer()
    if received.data["customer"] == "customer:c0":
        return Answer(404)
    return Answer(body={"email": ADDRESS, "phone": PHONE})


def test_every_channel_says_what_was_decided_and_what_became_of_it(
    dispatch: Dispatch, endpoint: Endpoint, tmp_path: Path
) -> None:
    mailbox = Mailbox()
    endpoint.answer = addresses
    now = time.time_ns() // 1_000_000
    (nobody,) = dispatch.decide(1, "email")
    tasks = dispatch.decide(3, "call_task", language="fa", **FA)
    (text,) = dispatch.decide(1, "sms")
    persian, english = dispatch.decide(1, "email", language="fa", **FA), dispatch.decide(1, "email")
    (asked,) = dispatch.decide(1, "survey_link", language="fa", **FA)
    (told,) = dispatch.decide(1, "kafka")
    (late,) = dispatch.decide(1, "call_task", expires_ms=now - 1)
    (unserved,) = dispatch.decide(1, "webhook")
    (erased,) = dispatch.decide(1, "call_task")
    suppressed = msgspec.structs.replace(tasks[0], decision_id="s", taken=False)
    dispatch.publish([suppressed])
    dispatch.remove(erased)  # while no dispatcher ran
    with mail_server(mailbox, tmp_path) as (port, ca):
        file = (
            webhook("call_task", endpoint, headers="{Authorization: TOKEN}")
            + webhook("sms", endpoint, to="yes")
            + webhook("address", endpoint)
            + mail_endpoint(port, ca)
            + 'survey_link: {link: "https://ask.example/s", secret: SECRET, by: email}\nkafka:\n'
        )
        dispatch.start(file)
        dispatch.await_outcomes([*tasks, text, *persian, *english, asked, told], Status.SENT)
        dispatch.await_outcomes([late], Status.EXPIRED)
        dispatch.await_outcomes([unserved], Status.NO_ENDPOINT)
        dispatch.await_outcomes([nobody], Status.NO_ADDRESS)
        until(lambda: (probe(dispatch.port, "/ready") or {}).get("ready"))
        dispatch.remove(tasks[0])
        until(lambda: tasks[0].decision_id not in dispatch.outcomes())
        until(lambda: committed(dispatch.settings, DISPATCH, topics.OUTREACH.name)[0] >= 13)
        sent = dispatch.metric("journey_outreach_outcomes_total", status="sent")
        assert sent == 8
    assert dispatch.stop() == 0

    got = endpoint.got("/call_task")
    assert sorted(one.key for one in got) == [one.decision_id for one in tasks]
    for one in (*got, *endpoint.got("/sms"), *endpoint.got("/address")):
        assert one.is_signed()
    assert {one.headers["authorization"] for one in got} == {"Bearer t0ken"}
    (data,) = (one.data for one in got if one.key == tasks[0].decision_id)
    assert (data["subject"], data["body"]) == (FA["subject"], FA["body"])
    assert (data["direction"], data["customer"]) == ("rtl", "customer:c1")
    assert [one.data["to"] for one in endpoint.got("/sms")] == [PHONE]

    by_id = {mail["Message-ID"]: mail for mail in mailbox.mails}
    assert len(by_id) == len(mailbox.mails) == 3
    for made, text_ in ((persian[0], FA), (english[0], EN)):
        mail = by_id[f"<{made.decision_id}@example.com>"]
        assert mail["Subject"] == text_["subject"]
        assert mail["To"] == ADDRESS
        assert mail["From"].addresses[0].display_name == "خدمات مشتریان"
        plain, html = mail.iter_parts()
        assert plain.get_content().replace("\r\n", "\n").rstrip("\n") == text_["body"]
        direction = "rtl" if made.language == "fa" else "ltr"
        assert f'<html lang="{made.language}" dir="{direction}">' in html.get_content()
    assert all(raw.isascii() for raw in mailbox.raw)

    survey = by_id[f"<{asked.decision_id}@example.com>"]
    (plain, _) = survey.iter_parts()
    (link,) = re.findall(r"https://ask\S+", plain.get_content())
    query = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{query['d']}.{query['e']}".encode(), sha256)
    assert (query["d"], query["s"]) == (
        asked.decision_id,
        base64.urlsafe_b64encode(digest).decode().rstrip("="),
    )

    (message,) = (json.loads(one.value) for one in records(dispatch.settings, topics.MESSAGES))
    assert message["data"]["decision_id"] == told.decision_id
    touched = [json.loads(one.value) for one in records(dispatch.settings, topics.TOUCHPOINTS)]
    assert {one["decision"] for one in touched} == {
        one.decision_id for one in (*tasks, text, *persian, *english, asked, told)
    }
    assert {(one["channel"], one["type"]) for one in touched} == {("outreach", "sent")}
    everything = dispatch.log() + str(
        [r.value for t in topics.TOPICS for r in records(dispatch.settings, t)]
    )
    for personal in (ADDRESS, PHONE, "p4ss", "t0ken"):
        assert personal not in everything


def test_each_answer_is_met_as_it_should_be_and_no_endpoint_holds_up_another(
    dispatch: Dispatch, endpoint: Endpoint
) -> None:
    first: dict[str, Received] = {}

    def answer(one: Received) -> Answer:
        again = one.key in first
        first.setdefault(one.key, one)
        if one.path == "/sms":
            return Answer(delay=30)  # hangs
        if one.path == "/webhook":
            kind = int(one.key[1:]) % 5
            if kind == 1:
                return Answer(422)
            if not again:
                return (
                    Answer(429, headers={"Retry-After": "1"}),
                    Answer(),
                    Answer(500),
                    Answer(cut=True),
                    Answer(307, headers={"Location": endpoint.url("/elsewhere")}),
                )[kind]
        return Answer()

    endpoint.answer = answer
    hung = dispatch.decide(30, "sms")
    mixed = dispatch.decide(5, "webhook")
    good = dispatch.decide(500, "call_task")
    dispatch.start(
        webhook("sms", endpoint, timeout=0.5, concurrency=4)
        + webhook("webhook", endpoint, concurrency=1)
        + webhook("call_task", endpoint)
    )
    dispatch.await_outcomes(good, Status.SENT)
    assert endpoint.times("/call_task") == {one.decision_id: 1 for one in good}
    refused = [one for one in mixed if int(one.decision_id[1:]) % 5 == 1]
    dispatch.await_outcomes([one for one in mixed if one not in refused], Status.SENT)
    dispatch.await_outcomes(refused, Status.REFUSED)
    assert endpoint.times("/webhook") == {
        one.decision_id: 1 if one in refused else 2 for one in mixed
    }
    assert endpoint.got("/elsewhere") == []
    busy = mixed[0].decision_id
    earlier, later = (one.at for one in endpoint.got("/webhook") if one.key == busy)
    assert later - earlier >= 1, "Retry-After was not honoured"
    rest = [one.at for one in endpoint.got("/webhook") if earlier < one.at < earlier + 0.95]
    assert rest == [], "the endpoint asked to be left alone"
    until(lambda: dispatch.metric("journey_endpoint_breaker", endpoint="sms") == 2)
    assert dispatch.metric("journey_endpoint_breaker", endpoint="call_task") == 0
    assert dispatch.metric("journey_endpoint_backlog", endpoint="sms") == len(hung)
    assert (probe(dispatch.port, "/live") or {}).get("live")
    assert (probe(dispatch.port, "/ready") or {}).get("ready")
    waiting = dispatch.outcomes()[hung[0].decision_id]
    assert (waiting.status, waiting.detail) == (Status.WAITING, "no answer in time")
    assert len(endpoint.got("/sms")) < 30, "a breaker that is open lets nothing through"


def test_an_endpoint_that_was_away_gets_all_of_it_once_it_is_back(
    dispatch: Dispatch, endpoint: Endpoint
) -> None:
    away, (port,) = Endpoint(), free_ports(1)
    away.port = port
    dispatch.start(webhook("webhook", away) + webhook("call_task", endpoint))
    first = dispatch.decide(CAPACITY // 2, "webhook")
    until(lambda: dispatch.metric("journey_endpoint_breaker", endpoint="webhook") > 0)
    before = dispatch.memory()
    erased = first.pop()
    dispatch.remove(erased)
    body = {"body": "x" * 4_000}
    waiting = first + dispatch.decide(2 * CAPACITY, "webhook", **body)
    passing = dispatch.decide(300, "call_task")
    dispatch.await_outcomes(passing, Status.SENT)
    until(lambda: dispatch.metric("journey_endpoint_backlog", endpoint="webhook") == CAPACITY)
    assert dispatch.memory() - before < 48 << 20, "an outage fills memory"
    behind = len([*waiting, erased, "its removal", *passing])
    until(lambda: dispatch.metric("journey_lag_records", topic="outreach") == behind)
    with serving(away, port):
        dispatch.await_outcomes(waiting, Status.SENT)
        assert away.times("/webhook") == {one.decision_id: 1 for one in waiting}
        assert dispatch.status(erased) is None
        until(lambda: dispatch.metric("journey_lag_records", topic="outreach") == 0)
        assert dispatch.metric("journey_endpoint_breaker", endpoint="webhook") == 0
        until(lambda: dispatch.metric("journey_endpoint_backlog", endpoint="webhook") == 0)
        assert dispatch.stop() == 0


def test_killed_in_the_middle_another_sends_again_only_what_was_under_way(
    dispatch: Dispatch, endpoint: Endpoint, tmp_path: Path, broker_port: int
) -> None:
    """What was under way comes again under its key; a mail, which has none, does not."""
    mailbox = Mailbox()
    mailbox.seconds, mailbox.unknown = 60.0, {"gone@example.org"}
    gone = "customer:c2"
    endpoint.answer = lambda one: (
        Answer(delay=0.02)
        if one.path == "/call_task"
        else Answer(body={"email": "gone@example.org" if one.data["customer"] == gone else ADDRESS})
    )
    half, at_once, kills = 700, 8, 2
    (tmp_path / "other").mkdir()
    other = Dispatch(tmp_path / "other", broker_port)
    with mail_server(mailbox, tmp_path) as (port, ca):
        file = (
            webhook("call_task", endpoint, concurrency=at_once)
            + webhook("address", endpoint)
            + mail_endpoint(port, ca, concurrency=1)
        )
        try:
            dispatch.start(file)
            until(lambda: "dispatch ready" in dispatch.log())
            other.start(file)
            # Joining moves the partition, and a mail under way must be cut off by the kill alone.
            until(lambda: "dispatch ready" in other.log())
            (cut_off, after, refused) = dispatch.decide(3, "email")
            made = dispatch.decide(half, "call_task")
            until(lambda: len(endpoint.got("/call_task")) > half // 2, dispatch.log)
            until(lambda: mailbox.mails)
            both = [dispatch, other]
            both.sort(key=lambda one: one.metric("journey_endpoint_attempts_total") == 0)
            at_work, stands_by = both
            at_work.kill()
            mailbox.seconds = 0.0
            made += dispatch.decide(half, "call_task")
            until(lambda: len(endpoint.got("/call_task")) > half + half // 2, stands_by.log)
            until(lambda: dispatch.status(after) is Status.SENT)
            stands_by.kill()
            at_work.start(file)
            dispatch.await_outcomes([after, *made], Status.SENT)
            dispatch.await_outcomes([cut_off], Status.UNKNOWN)
            dispatch.await_outcomes([refused], Status.REFUSED)
            assert dispatch.outcomes()[refused.decision_id].detail == "550 to RCPT"
            assert at_work.stop() == 0
            times = endpoint.times("/call_task")
            assert set(times) == {one.decision_id for one in made}
            assert sum(times.values()) - len(made) <= kills * at_once
            ids = [mail["Message-ID"] for mail in mailbox.mails]
            assert ids == [f"<{one.decision_id}@example.com>" for one in (cut_off, after)]
            at_work.start(file)
            until(lambda: (probe(at_work.port, "/ready") or {}).get("ready"))
            end = len(made) + 3
            until(lambda: committed(dispatch.settings, DISPATCH, topics.OUTREACH.name)[0] == end)
            assert endpoint.times("/call_task") == times, "what is done is sent again"
        finally:
            other.stop()


def test_without_a_file_or_with_a_wrong_one_it_says_so(dispatch: Dispatch) -> None:
    dispatch.start("webhook: {url: nowhere, secret: SECRET}")
    until(lambda: dispatch.process and dispatch.process.returncode() is not None)
    assert dispatch.process is not None
    assert dispatch.process.returncode() == 2
    assert "endpoints.yaml:1: webhook.url: is no URL" in dispatch.log()
