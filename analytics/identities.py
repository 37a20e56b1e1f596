"""Who is who by the links stored, as the pure core decides it: what support people ask about."""

from __future__ import annotations

from clickhouse_driver import Client

from analytics import replay
from analytics.lookup import candidates, find
from schemas.settings import Settings
from streams.core.guards import Guards
from streams.core.identifiers import own_identifiers
from streams.core.identity import Identities


def guards(settings: Settings) -> Guards:
    """The guards of the workers that have these settings."""
    key, region = settings.identity_key_bytes(), settings.phone_region
    return Guards(denied=own_identifiers(settings.own_contacts, key, region))


def known_identities(client: Client, settings: Settings) -> Identities:
    """Every link stored, learnt: some 8 s and 600 MB for each million identifiers."""
    identities = Identities(guards(settings))
    identities.learn(replay.links(client))
    return identities


def find_linked(client: Client, identities: Identities, typed: str, settings: Settings) -> str:
    """The identifier meant by what a person typed, also one that only links know of.

    Raises UnknownIdentifier.
    """
    key, region = settings.identity_key_bytes(), settings.phone_region
    for name in candidates(typed, key, region):
        if identities.links.seen_with(name) or identities.links.entries(name):
            return name
    return find(client, typed, key, region)
