"""Who is meant and what is theirs: the one selection that is given out, and that is erased."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client

from analytics.identities import find_linked, known_identities
from analytics.lookup import UnknownIdentifier, candidates
from privacy.letters import names
from privacy.stores import MENTIONS, STORES, Store
from schemas.outcome import Link
from schemas.settings import Settings
from streams.core.identifiers import strength

_LETTERS: Final = "SELECT id, base64Encode(raw) FROM dead_letters"
_BLOCK: Final = {"max_block_size": 4_096}


@dataclass(frozen=True, slots=True)
class Person:
    """The identifiers of one customer, strongest first, and what goes with them.

    `freed` are things shared with others, which without this person would be one other's: their
    unattributed history goes too, or it would become that other's. `links` name an identifier.
    """

    identifiers: list[str]
    freed: list[str]
    links: list[Link]
    letters: list[str]

    def parameters(self) -> dict[str, Any]:
        """What the conditions of `privacy.stores` are bound to."""
        return {
            "identifiers": tuple(self.identifiers),
            "identifier_list": self.identifiers,
            "anchors": (*self.identifiers, *self.freed),
            "letters": (*self.letters, ""),
        }


def find_person(client: Client, settings: Settings, typed: str) -> Person:
    """The person meant by what somebody typed; raises UnknownIdentifier.

    Also one of whom nothing but dead letters is held.
    """
    identities = known_identities(client, settings)
    try:
        name = find_linked(client, identities, typed, settings)
    except UnknownIdentifier:
        key, region = settings.identity_key_bytes(), settings.phone_region
        tried = candidates(typed, key, region)
        person = Person(tried, [], [], letters_of(client, settings, tried))
        if not any(counts(client, person).values()):
            raise
        return person
    identifiers = sorted(identities.members(name), key=strength)
    forgotten = identities.forget(identifiers)
    return Person(
        identifiers=identifiers,
        freed=forgotten.freed,
        links=forgotten.links,
        letters=letters_of(client, settings, identifiers),
    )


def letters_of(client: Client, settings: Settings, identifiers: list[str]) -> list[str]:
    """Ids of the dead letters that name one of the identifiers; reads every letter."""
    key, region = settings.identity_key_bytes(), settings.phone_region
    wanted = frozenset(identifiers)
    return sorted(
        {
            letter
            for letter, raw in client.execute_iter(_LETTERS, settings=_BLOCK)
            if names(b64decode(raw), wanted, key, region)
        }
    )


def counts(client: Client, person: Person) -> dict[str, int]:
    """Rows of each store that are the person's, and `mentions` in rows of others."""
    parameters = person.parameters()
    found = {store.table: count(client, store, parameters) for store in STORES}
    return found | {"mentions": _mentions(client, person)}


def held(client: Client, person: Person) -> dict[str, Any]:
    """Everything held about a person, by store, as rows of names and values."""
    stores = {}
    for store in STORES:
        rows, columns = client.execute(
            f"SELECT * FROM {store.table} FINAL WHERE {store.condition}",
            person.parameters(),
            with_column_types=True,
        )
        stores[store.table] = [
            dict(zip((name for name, _ in columns), row, strict=True)) for row in rows
        ]
    return {
        "identifiers": person.identifiers,
        "shared": person.freed,
        **stores,
        "mentions": _mentions(client, person),
    }


def _mentions(client: Client, person: Person) -> int:
    return sum(count(client, store, person.parameters()) for store in MENTIONS)


def count(client: Client, store: Store, parameters: Mapping[str, Any] | None = None) -> int:
    """Rows of a store that meet its condition, each once however often it was written."""
    query = f"SELECT count() FROM {store.table} FINAL WHERE {store.condition}"
    return int(client.execute(query, parameters)[0][0])


def is_there(client: Client, store: Store) -> bool:
    """Whether anything meets the condition, were it a row that another has replaced."""
    return bool(client.execute(f"SELECT 1 FROM {store.table} WHERE {store.condition} LIMIT 1"))
