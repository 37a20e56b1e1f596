"""Every customer known to the database, with its identifiers and the parts of its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from clickhouse_driver import Client


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer as stored: identifiers sorted, and the JSON of a `schemas.state.Part` by anchor.

    An anchor without a part is an identifier of whose part the sink has not heard yet.
    """

    customer: str
    identifiers: tuple[str, ...]
    parts: dict[str, str]


# The map of identities is joined and not the dictionary asked, which may lag by seconds. An
# identifier comes several times; its part, where it has one, last.
_KNOWN: Final = """
SELECT if(identity.customer = '', known.identifier, identity.customer) AS owner,
    known.identifier, known.part
FROM (
    SELECT anchor AS identifier, part FROM parts FINAL
    UNION ALL
    SELECT identifier, '' FROM identity_members
    UNION ALL
    SELECT DISTINCT anchor, '' FROM touchpoints
) AS known
LEFT JOIN identity ON identity.identifier = known.identifier
ORDER BY owner, known.identifier, known.part
"""
# The server sorts on disk beyond this, so that its memory does not grow with the customers.
_SETTINGS: Final = {"max_bytes_before_external_sort": 256 << 20, "max_block_size": 8_192}


def customers(client: Client) -> Iterator[StoredCustomer]:
    """Every customer, in order of id; holds one customer at a time.

    The client answers nothing else until the iterator is used up.
    """
    rows = client.execute_iter(_KNOWN, settings=_SETTINGS)
    for customer, found in groupby(rows, key=itemgetter(0)):
        parts = {identifier: part for _, identifier, part in found}
        yield StoredCustomer(
            customer,
            tuple(sorted({customer, *parts})),
            {anchor: part for anchor, part in parts.items() if part},
        )


def members(client: Client) -> dict[str, list[str]]:
    """Customer to its identifiers, sorted, for every customer known."""
    return {found.customer: list(found.identifiers) for found in customers(client)}
