"""The channels that have an endpoint: which lane each goes by, and what sends it."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import msgspec

from schemas.outcome import OutreachDecision, Status
from schemas.settings import secret
from sinks.dispatch.breaker import Breaker
from sinks.dispatch.endpoints import Endpoints, Secrets, Survey, Webhook
from sinks.dispatch.journal import Journal
from sinks.dispatch.lane import Lane
from sinks.dispatch.mail import MailSender
from sinks.dispatch.message import expires_of, payload
from sinks.dispatch.signature import keys_of, link
from sinks.dispatch.verdict import Verdict
from sinks.dispatch.webhook import Addresses, Client, WebhookSender
from streams.core.evidence import DAY_MS
from streams.core.template import LINK
from streams.retry import backoff

_MESSAGES: Final = 64  # to our own topic, under way at a time
_FIRST_PAUSE: Final = 1.0  # seconds of an open breaker, growing to
_LONGEST_PAUSE: Final = 10.0
_LINK_DAYS: Final = 14


class Sender(Protocol):
    """What carries out decisions."""

    @property
    def repeatable(self) -> bool:
        """Whether a decision sent twice reaches the customer once."""

    async def send(self, decision: OutreachDecision) -> Verdict:
        """One attempt."""


@dataclass(frozen=True, slots=True)
class Channel:
    """How a channel of rules is sent: the lane it waits in, and by whom."""

    lane: Lane
    sender: Sender


class TopicSender:
    """Messages to our own topic."""

    repeatable = True

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def send(self, decision: OutreachDecision) -> Verdict:
        """One message."""
        await self._journal.tell(decision, payload(decision, time.time_ns() // 1_000_000))
        return Verdict(Status.SENT)


class SurveySender:
    """A survey's link, filled in and sent by another channel."""

    def __init__(self, survey: Survey, by: Sender, secrets: Secrets = secret) -> None:
        self._url, self._by = survey.link, by
        self._key = keys_of(secrets(survey.secret).get_secret_value())[0]
        self.repeatable = by.repeatable

    async def send(self, decision: OutreachDecision) -> Verdict:
        """One attempt."""
        until = expires_of(decision) + _LINK_DAYS * DAY_MS
        signed = link(self._url, self._key, decision.decision_id, until // 1000)
        place = f"{{{LINK}}}"
        filled = msgspec.structs.replace(
            decision,
            subject=decision.subject.replace(place, signed),
            body=decision.body.replace(place, signed),
        )
        return await self._by.send(filled)


async def open_channels(
    endpoints: Endpoints, journal: Journal, closing: AsyncExitStack, secrets: Secrets = secret
) -> dict[str, Channel]:
    """The channels of rules that have an endpoint; connections are closed with `closing`."""

    def client(endpoint: Webhook) -> Client:
        opened = Client(endpoint, secrets)
        closing.push_async_callback(opened.close)
        return opened

    addresses = Addresses(client(endpoints.address)) if endpoints.address else None
    found: dict[str, Channel] = {}
    for name in ("webhook", "call_task", "sms"):
        endpoint: Webhook | None = getattr(endpoints, name)
        if endpoint is not None:
            to = addresses if getattr(endpoint, "to", False) else None
            sender = WebhookSender(client(endpoint), to)
            found[name] = Channel(lane(name, endpoint.concurrency), sender)
    if endpoints.email is not None and addresses is not None:
        mail = MailSender(endpoints.email, addresses, secrets)
        closing.push_async_callback(mail.close)
        found["email"] = Channel(lane("email", endpoints.email.concurrency), mail)
    if endpoints.kafka is not None:
        found["kafka"] = Channel(lane("kafka", _MESSAGES), TopicSender(journal))
    if (survey := endpoints.survey_link) is not None:
        by = found[survey.by]
        found["survey_link"] = Channel(by.lane, SurveySender(survey, by.sender, secrets))
    return found


def lane(name: str, concurrency: int) -> Lane:
    """An empty lane."""
    pause = partial(backoff, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
    return Lane(name, Breaker(pause), concurrency)
