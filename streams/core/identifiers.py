"""Identifiers in the one form in which they are compared: `kind:value`.

E-mails and phones are keyed hashes from the edge on, so that no raw personal data enters Kafka
or ClickHouse. Normalising is idempotent: what is normalised already stays as it is.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final

import phonenumbers

from schemas.touchpoint import IdentifierKind

# kind -> rank; the strongest kind names the customer and anchors the touchpoint
PRECEDENCE: Final = {kind.value: rank for rank, kind in enumerate(IdentifierKind)}
_DIGITS: Final = {
    **{ord("۰") + n: ord("0") + n for n in range(10)},
    **{ord("٠") + n: ord("0") + n for n in range(10)},
}
_HASHED: Final = re.compile(r"h-[0-9a-f]{32}")


@lru_cache(maxsize=1 << 17)
def normalise(kind: str, value: str, key: bytes, region: str) -> str:
    """One identifier as `kind:value`; e-mail and phone as `kind:h-` and 128 bits of HMAC-SHA-256.

    `region` (ISO 3166, such as IR) is where a phone number without country code belongs. A phone
    that cannot be parsed keeps its digits, so that equal typing still compares equal.
    """
    value = value.strip().translate(_DIGITS)
    if kind == "email":
        value = value if _HASHED.fullmatch(value) else _hashed(value.casefold(), key)
    elif kind == "phone":
        value = value if _HASHED.fullmatch(value) else _hashed(_e164(value, region), key)
    elif kind in ("serial", "order"):
        value = value.upper()
    return f"{kind}:{value}"


def strength(identifier: str) -> tuple[int, str]:
    """Sort key: strongest kind first, ties by value."""
    kind, _, value = identifier.partition(":")
    return PRECEDENCE[kind], value


def anchor_of(identifiers: Iterable[str]) -> str:
    """The identifier a touchpoint is kept under: its strongest."""
    return min(identifiers, key=strength)


def _hashed(value: str, key: bytes) -> str:
    return "h-" + hmac.new(key, value.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]


def _e164(value: str, region: str) -> str:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return re.sub(r"\D", "", value) or value
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
