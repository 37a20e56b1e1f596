"""What a person types to name a customer, found among the identifiers known."""

from __future__ import annotations

import re
from typing import Final

from clickhouse_driver import Client

from schemas.touchpoint import IdentifierKind
from streams.core.identifiers import normalise

_PHONE: Final = re.compile(r"\+?[\d۰-۹٠-٩][\d۰-۹٠-٩ ()-]{5,}")
_KNOWN: Final = """
SELECT identifier FROM (
    SELECT DISTINCT anchor AS identifier FROM touchpoints PREWHERE anchor IN %(names)s
    UNION DISTINCT
    SELECT identifier FROM identity_members PREWHERE identifier IN %(names)s
    UNION DISTINCT
    SELECT customer FROM identity_members PREWHERE customer IN %(names)s
)
"""


class UnknownIdentifier(Exception):
    """Nobody is known by what was typed; the message says what was tried."""


def candidates(typed: str, key: bytes, region: str) -> list[str]:
    """Identifiers that something typed may mean, likeliest first.

    `kind:value` means itself; anything else is an e-mail, a phone, and then every other kind.
    """
    kind, colon, value = typed.strip().partition(":")
    if colon and kind in set(IdentifierKind):
        return [normalise(kind, value, key, region)]
    kinds = [
        k.value for k in IdentifierKind if k not in (IdentifierKind.EMAIL, IdentifierKind.PHONE)
    ]
    if _PHONE.fullmatch(typed.strip()):
        kinds.insert(0, "phone")
    if "@" in typed:
        kinds.insert(0, "email")
    return [normalise(kind, typed, key, region) for kind in kinds]


def find(client: Client, typed: str, key: bytes, region: str) -> str:
    """The identifier meant by what a person typed; raises UnknownIdentifier."""
    names = candidates(typed, key, region)
    known = {row[0] for row in client.execute(_KNOWN, {"names": tuple(names)})}
    for name in names:
        if name in known:
            return name
    kinds = ", ".join(name.partition(":")[0] for name in names)
    raise UnknownIdentifier(
        f"{typed!r} is not known (tried as {kinds}); name the kind, such as customer:{typed}"
    )
