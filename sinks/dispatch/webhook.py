"""Signed JSON over HTTP: messages to endpoints, and addresses from the company's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from schemas.outcome import OutreachDecision, Status
from schemas.settings import secret
from sinks.dispatch.endpoints import Secrets, Webhook, context_of
from sinks.dispatch.message import is_email, payload
from sinks.dispatch.signature import headers, keys_of
from sinks.dispatch.verdict import Verdict, of_http

_MOST_READ: Final = 1 << 14  # bytes of an answer
_USER_AGENT: Final = "customer-journey-pipeline"
_PHONE_MOST: Final = 32


class Client:
    """Posts signed JSON to one endpoint. Redirects are not followed, and nothing is kept."""

    def __init__(self, endpoint: Webhook, secrets: Secrets = secret) -> None:
        self._endpoint = endpoint
        self._keys = keys_of(secrets(endpoint.secret).get_secret_value())
        self._headers = {
            name: secrets(variable).get_secret_value()
            for name, variable in endpoint.headers.items()
        }
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=endpoint.concurrency,
                ssl=context_of(endpoint) if endpoint.url.startswith("https:") else True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _USER_AGENT, "Content-Type": "application/json"},
        )

    async def post(self, id_: str, body: bytes) -> tuple[Verdict, bytes]:
        """What an endpoint made of a message, and the beginning of what it answered.

        `id_` is the idempotency key: the same for every attempt at one message.
        """
        now = time.time()
        signed = headers(self._keys, id_, int(now), body)
        sent: Mapping[str, str] = {"Idempotency-Key": id_, **self._headers, **signed}
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                async with self._session.post(
                    self._endpoint.url, data=body, headers=sent, allow_redirects=False
                ) as answer:
                    read = await answer.content.read(_MOST_READ)
                    after = answer.headers.get("Retry-After")
                    return of_http(answer.status, after, now), read
        except TimeoutError:
            return Verdict(Status.WAITING, "no answer in time", healthy=False), b""
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Verdict(Status.WAITING, type(error).__name__, healthy=False), b""

    async def close(self) -> None:
        """Close its connections."""
        await self._session.close()


class Addresses:
    """The company's own book of addresses, asked for each message; nothing of it is kept."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, decision: OutreachDecision, kind: str) -> str | Verdict:
        """The `email` or `phone` of a customer, or why there is none.

        404 and an answer without it mean that there is none.
        """
        asked = {
            "decision_id": decision.decision_id,
            "customer": decision.customer,
            "identifiers": decision.identifiers,
            "want": kind,
        }
        body = msgspec.json.encode({"type": "address.wanted", "data": asked})
        verdict, answer = await self._client.post(f"{decision.decision_id}-{kind}", body)
        if verdict.detail == "404":
            return Verdict(Status.NO_ADDRESS)
        if verdict.status is not Status.SENT:
            again = verdict.status is Status.WAITING
            # An address book that refuses the question is to be mended.
            healthy = verdict.healthy and again
            told = f"address: {verdict.detail}"
            return verdict._replace(status=Status.WAITING, detail=told, healthy=healthy)
        found = _value(answer, kind)
        if found is None:
            return Verdict(Status.NO_ADDRESS)
        sound = is_email(found) if kind == "email" else _is_phone(found)
        return found if sound else Verdict(Status.NO_ADDRESS, f"address: is no {kind}")


class WebhookSender:
    """A message to an endpoint, with the address in it where the endpoint is to have one."""

    repeatable = True

    def __init__(self, client: Client, addresses: Addresses | None = None) -> None:
        self._client, self._addresses = client, addresses

    async def send(self, decision: OutreachDecision) -> Verdict:
        """One attempt."""
        to = None
        if self._addresses is not None:
            found = await self._addresses.find(decision, "phone")
            if isinstance(found, Verdict):
                return found
            to = found
        body = payload(decision, time.time_ns() // 1_000_000, to)
        verdict, _ = await self._client.post(decision.decision_id, body)
        return verdict


def _value(answer: bytes, kind: str) -> str | None:
    try:
        told: Any = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = told.get(kind) if isinstance(told, dict) else None
    return found.strip() or None if isinstance(found, str) else None


def _is_phone(value: str) -> bool:
    return value.isascii() and value.isprintable() and len(value) <= _PHONE_MOST
