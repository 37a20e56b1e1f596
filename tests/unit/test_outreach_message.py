"""What is sent: JSON, and e-mails in Persian and English."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import msgspec
import pytest

from schemas.outcome import OutreachDecision
from sinks.dispatch.message import email, is_email, payload

DECISION = OutreachDecision(
    decision_id="d1",
    customer="email:h-1",
    rule="late",
    decided_ms=1_795_348_800_000,
    taken=True,
    why="−9: late",
    health=40,
    distress=500,
    channel="email",
    expires_ms=1_795_352_400_500,
    language="fa",
    subject="سفارش شما دیر شده است",
    body="سلام <b>\n.نقطه\nانتخاب با شماست: بازگشت وجه",
    ways_out=["refund"],
    identifiers=["email:h-1", "phone:h-2"],
)
SENDER = Address("خدمات مشتریان", "care", "example.com")


def parsed(decision: OutreachDecision) -> EmailMessage:
    sent = email(decision, SENDER, "reza@example.org", 1_795_348_900_000).as_bytes()
    assert sent.isascii(), "so that any server takes it"
    assert sent.endswith(b"\r\n")
    assert b"\n" not in sent.replace(b"\r\n", b"")
    found: Any = message_from_bytes(sent, policy=SMTP)
    return found


def test_the_json_has_all_that_a_receiver_needs() -> None:
    told = json.loads(payload(DECISION, 1_795_348_900_000))
    assert (told["type"], told["timestamp"]) == ("outreach.email", "2026-11-22T12:01:40.000Z")
    data = told["data"]
    assert data["expires_at"] == "2026-11-22T13:00:00.500Z"
    assert (data["language"], data["direction"]) == ("fa", "rtl")
    assert (data["subject"], data["identifiers"]) == (DECISION.subject, DECISION.identifiers)
    assert "to" not in data
    assert json.loads(payload(DECISION, 0, "+98912"))["data"]["to"] == "+98912"


def test_a_persian_mail_reads_as_it_was_written_and_from_right_to_left() -> None:
    found = parsed(DECISION)
    assert found["Subject"] == DECISION.subject
    assert found["From"].addresses[0].display_name == "خدمات مشتریان"
    assert (found["To"], found["Message-ID"]) == ("reza@example.org", "<d1@example.com>")
    assert found["Content-Language"] == "fa"
    text, html = found.iter_parts()
    assert text.get_content().replace("\r\n", "\n").rstrip("\n") == DECISION.body
    assert '<html lang="fa" dir="rtl">' in html.get_content()
    assert "سلام &lt;b&gt;<br>" in html.get_content()


def test_an_english_mail_is_written_from_left_to_right() -> None:
    english = msgspec.structs.replace(
        DECISION, language="en", subject="Late\nBcc: x@y.z", body="Hi"
    )
    found = parsed(english)
    assert (found["Subject"], found["Bcc"]) == ("Late Bcc: x@y.z", None)
    _, html = found.iter_parts()
    assert '<html lang="en" dir="ltr">' in html.get_content()


@pytest.mark.parametrize(
    ("value", "sound"),
    [
        ("reza@example.org", True),
        ("a.b+c@x.example.org", True),
        ("reza", False),
        ("@example.org", False),
        ("reza@localhost", False),
        ("reza@example.org\r\nRCPT TO:<x@y.z>", False),
        ("a@b.c, d@e.f", False),
        ("<reza@example.org>", False),
        ("رضا@example.org", False),
        ("a@" + "b" * 260 + ".org", False),
    ],
)
def test_what_is_an_address(value: str, sound: bool) -> None:
    assert is_email(value) is sound
