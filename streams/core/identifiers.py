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
from streams.core.denial import DENIED, is_denied, is_filler, is_filler_phone

# kind -> rank; the strongest kind names the customer and anchors the touchpoint
PRECEDENCE: Final = {kind.value: rank for rank, kind in enumerate(IdentifierKind)}
# Anchors a touchpoint without a usable identifier under its own id; never on the wire.
EVENT: Final = "event"
_RANKS: Final = {**PRECEDENCE, EVENT: len(PRECEDENCE)}
_DIGITS: Final = {
    **{ord("۰") + n: ord("0") + n for n in range(10)},
    **{ord("٠") + n: ord("0") + n for n in range(10)},
}
_HASHED: Final = re.compile(r"h-[0-9a-f]{32}")
_NOBODY: Final[frozenset[str]] = frozenset()


@lru_cache(maxsize=1 << 17)
def normalise(kind: str, value: str, key: bytes, region: str, own: frozenset[str] = _NOBODY) -> str:
    """One identifier as `kind:value`; e-mail and phone as `kind:h-` and 128 bits of HMAC-SHA-256.

    `region` (ISO 3166, such as IR) is where a phone number without country code belongs. A phone
    that cannot be parsed keeps its digits, so that equal typing still compares equal. A value that
    names nobody, or is among our `own` (normalised identifiers), becomes `kind:denied`.
    """
    value = value.strip().translate(_DIGITS)
    if is_filler(kind, value):
        value = DENIED
    elif kind in ("email", "phone"):
        if not _HASHED.fullmatch(value):
            phone = kind == "phone"
            value = _phone(value, key, region) if phone else _hashed(value.casefold(), key)
    elif kind in ("serial", "order"):
        value = value.upper()
    identifier = f"{kind}:{value}"
    return f"{kind}:{DENIED}" if identifier in own else identifier


def own_identifiers(contacts: str, key: bytes, region: str) -> frozenset[str]:
    """Our own contacts, comma-separated phones and e-mails, as `normalise` writes them."""
    return frozenset(
        normalise("email" if "@" in contact else "phone", contact, key, region)
        for contact in contacts.split(",")
        if contact.strip()
    )


def strength(identifier: str) -> tuple[int, str]:
    """Sort key: strongest kind first, ties by value."""
    kind, _, value = identifier.partition(":")
    return _RANKS[kind], value


def rank_of(identifier: str) -> int:
    """The rank of an identifier's kind, 0 the strongest."""
    return _RANKS[identifier.partition(":")[0]]


def anchor_of(identifiers: Iterable[str], event_id: str = "") -> str:
    """The identifier a touchpoint is kept under: its strongest that is not denied.

    Where all are denied it is the touchpoint's own id, so that strangers stay apart.
    """
    usable = [identifier for identifier in identifiers if not is_denied(identifier)]
    return min(usable, key=strength) if usable else f"{EVENT}:{event_id}"


def _hashed(value: str, key: bytes) -> str:
    return "h-" + hmac.new(key, value.encode("utf-8", "surrogatepass"), sha256).hexdigest()[:32]


def _phone(value: str, key: bytes, region: str) -> str:
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return _hashed(re.sub(r"\D", "", value) or value, key)
    if is_filler_phone(str(number.national_number)):
        return DENIED
    return _hashed(
        str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)), key
    )
