"""Signatures of what we send, as Standard Webhooks has them (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256
from typing import Final
from urllib.parse import urlencode

_PREFIX: Final = "whsec_"
_LEAST, _MOST = 24, 64  # bytes of a secret, as the specification has them


def keys_of(secret: str) -> list[bytes]:
    """The keys of a secret, `whsec_` and Base64; several where one is to replace another.

    They stand apart by blanks. Raises ValueError, which never tells the secret.
    """
    keys = []
    for one in secret.split():
        try:
            key = base64.b64decode(one.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not one.startswith(_PREFIX) or not _LEAST <= len(key) <= _MOST:
            raise ValueError(
                f"is not {_PREFIX} and Base64 of {_LEAST} to {_MOST} bytes; make one with "
                f"`echo {_PREFIX}$(openssl rand -base64 32)`"
            )
        keys.append(key)
    return keys


def headers(keys: list[bytes], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers; one signature for each key, any of which may be checked."""
    signed = b".".join((id_.encode(), str(timestamp).encode(), body))
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode() for key in keys
        ),
    }


def link(url: str, key: bytes, decision_id: str, expires: int) -> str:
    """A link that nobody else can make.

    `d` is the decision, `e` until when it holds (epoch seconds), `s` the HMAC-SHA256 of `d.e` in
    URL-safe Base64 without padding.
    """
    digest = hmac.digest(key, f"{decision_id}.{expires}".encode(), sha256)
    signed = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    query = urlencode({"d": decision_id, "e": expires, "s": signed})
    return f"{url}{'&' if '?' in url else '?'}{query}"
