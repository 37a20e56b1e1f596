"""What is sent: the JSON of webhooks and of our topic, and the e-mail."""

from __future__ import annotations

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import Any, Final

import msgspec

from schemas.outcome import OutreachDecision

_RIGHT_TO_LEFT: Final = frozenset({"fa"})
_SEVEN_BITS: Final = SMTP.clone(cte_type="7bit")  # any server takes it, with 8BITMIME or without
_encode: Final = msgspec.json.Encoder().encode


def payload(decision: OutreachDecision, now_ms: int, to: str | None = None) -> bytes:
    """The JSON of a message, in the form that Standard Webhooks asks for.

    `to` is the address, where the company told it for this message.
    """
    told: dict[str, Any] = {
        "decision_id": decision.decision_id,
        "customer": decision.customer,
        "identifiers": decision.identifiers,
        "account": decision.account,
        "rule": decision.rule,
        "channel": decision.channel,
        "language": decision.language,
        "direction": direction(decision.language),
        "subject": decision.subject,
        "body": decision.body,
        "ways_out": decision.ways_out,
        "why": decision.why,
        "health": decision.health,
        "distress": decision.distress,
        "decided_at": moment(decision.decided_ms),
        "expires_at": moment(expires_of(decision)),
    }
    if to is not None:
        told["to"] = to
    named = f"outreach.{decision.channel}"
    return _encode({"type": named, "timestamp": moment(now_ms), "data": told})


def email(decision: OutreachDecision, sender: Address, to: str, now_ms: int) -> EmailMessage:
    """The e-mail of a decision; its Message-ID is the same whenever it is made again.

    As text and as HTML, which alone can say that it is written from right to left.
    """
    mail = EmailMessage(policy=_SEVEN_BITS)
    local, _, domain = to.rpartition("@")
    mail["Message-ID"] = f"<{decision.decision_id}@{sender.domain}>"
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    mail["From"] = sender
    mail["To"] = Address(username=local, domain=domain)
    mail["Subject"] = " ".join(decision.subject.split())
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(decision.body)
    lines = "<br>\n".join(escape(decision.body).splitlines())
    mail.add_alternative(
        f'<!doctype html>\n<html lang="{decision.language}" dir="{direction(decision.language)}">'
        f'<meta charset="utf-8">\n<body><p>{lines}</p></body></html>\n',
        subtype="html",
    )
    if decision.language:  # last, or it would go to the first part
        mail["Content-Language"] = decision.language
    return mail


def is_email(value: str) -> bool:
    """Whether an e-mail can be sent there without SMTPUTF8."""
    local, at, domain = value.rpartition("@")
    plain = value.isascii() and value.isprintable() and not set(value) & set(' ,;:<>()[]"\\')
    return bool(at and local and "." in domain.strip(".") and plain and len(value) <= 254)


def direction(language: str) -> str:
    """How a language is written: `rtl` or `ltr`."""
    return "rtl" if language in _RIGHT_TO_LEFT else "ltr"


def expires_of(decision: OutreachDecision) -> int:
    """Until when a decision may be sent (epoch ms): a day on where it does not say."""
    return decision.expires_ms or decision.decided_ms + 86_400_000


def moment(at_ms: int) -> str:
    """RFC 3339, UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
