"""Signatures as Standard Webhooks has them, checked with its published vector and recipe."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import pytest

from sinks.dispatch.signature import headers, keys_of, link

# Of the reference libraries of github.com/standard-webhooks/standard-webhooks.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, TIMESTAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector() -> None:
    assert headers(keys_of(SECRET), ID, TIMESTAMP, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": str(TIMESTAMP),
        "webhook-signature": SIGNATURE,
    }


def test_while_a_secret_is_replaced_both_sign() -> None:
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    signed = headers(keys_of(f"{other} {SECRET}"), ID, TIMESTAMP, BODY)["webhook-signature"]
    assert len(signed.split()) == 2
    assert SIGNATURE in signed.split()


@pytest.mark.parametrize(
    "secret",
    [
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_short",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_!!!!" + "A" * 40,
        f"{SECRET} other",
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(ValueError, match="is not whsec_ and Base64 of 24 to 64 bytes") as refused:
        keys_of(secret)
    assert secret not in str(refused.value)


def test_a_link_is_checked_as_documented() -> None:
    (key,) = keys_of(SECRET)
    found = urlsplit(link("https://ask.example.com/s?lang=fa", key, "d1", 1_800_000_000))
    asked = {name: value for name, (value,) in parse_qs(found.query).items()}
    assert asked["lang"] == "fa"
    digest = hmac.digest(key, f"{asked['d']}.{asked['e']}".encode(), sha256)
    assert base64.urlsafe_b64decode(asked["s"] + "=") == digest
    assert link("https://a.example/s", key, "d2", 1) != link("https://a.example/s", key, "d3", 1)
