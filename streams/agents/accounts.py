"""The accounts agent: contacts to accounts, their health and what they ask the guard for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from schemas import topics
from schemas.outcome import Account, Contact, ContactUpdate
from streams import metrics
from streams.changelog import Changelog
from streams.core.accounts import is_news, merge, stand
from streams.core.contacts import newer
from streams.core.policy import Policy
from streams.core.rules import RuleSet
from streams.delivery import Outgoing
from streams.recent import Recent
from streams.transport import Chunk

_encode = msgspec.json.Encoder().encode
decode_update = msgspec.json.Decoder(ContactUpdate).decode
decode_account = msgspec.json.Decoder(Account).decode
SWEEP_SLICE = 500
_RECENT = 2_000  # an account has many contacts


class Accounts:
    """A partition's accounts: contacts by account, what was last published, how many are how.

    `counts` maps (band,) to accounts that have contacts, as of the last sweep.
    """

    def __init__(self, contacts: Changelog, health: Changelog) -> None:
        self.contacts, self.health = contacts, health
        self.counts: dict[tuple[str, ...], int] = {}
        self._recent: Recent[dict[str, Contact]] = Recent(_RECENT)

    def members(self, account: str) -> dict[str, Contact]:
        """The account's contacts by customer."""
        found = self._recent.get(account)
        if found is None:
            records = self.contacts.store.under(account.encode())
            updates = (decode_update(value) for _, value in records)
            found = {one.customer: one.contact for one in updates if one.contact is not None}
            self._recent.put(account, found)
        return found

    def published(self, account: str) -> Account | None:
        """What was last published."""
        value = self.health.get(account.encode())
        return None if value is None else decode_account(value)

    def names(self) -> list[str]:
        """Every account that was published."""
        return list(map(bytes.decode, self.health.store.keys()))

    def take(self, chunk: Chunk) -> dict[str, int]:
        """Learn a chunk of contacts; its accounts, with when their newest touchpoint came."""
        learned = self.contacts.learn(chunk)
        named: dict[str, int] = {}
        for key in dict.fromkeys(record.key for record in chunk):
            if key is None:
                continue
            account, _, customer = key.decode().partition("\0")
            value = learned[key] if key in learned else self.contacts.get(key)
            update = None if value is None else decode_update(value)
            known = self._recent.get(account)
            if known is not None:
                known.pop(customer, None)
                if update is not None and update.contact is not None:
                    known[customer] = update.contact
            received_ms = update.received_ms if update is not None else 0
            named[account] = max(received_ms, named.get(account, 0))
        return named

    def trim(self) -> None:
        """Let go of accounts that were not needed lately."""
        self._recent.trim()

    def close(self) -> None:
        """Let go of the stores."""
        self.contacts.close()
        self.health.close()


def merge_contacts(known: bytes, news: bytes) -> bytes:
    """Of two records of a customer at an account, the newer one."""
    one, other = decode_update(known), decode_update(news)
    return known if newer(one, other) is one else news


def merge_accounts(known: bytes, news: bytes) -> bytes:
    """What two records of one account say together."""
    last = decode_account(news)
    kept = merge(decode_account(known), last)
    return news if kept is last else _encode(kept)


@dataclass(frozen=True, slots=True)
class Gather:
    """What gathering accounts depends on. Chunks and sweeps take turns by `turn`."""

    deliver: Callable[[list[Outgoing]], Awaitable[object]]
    policy: Policy
    ruleset: RuleSet
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


async def gather(agent: Gather, accounts: Accounts, chunk: Chunk, now_ms: int) -> None:
    """Take a chunk of `accounts.contacts` and publish every account that it changes.

    That topic is the agent's changelog for contacts, and `accounts` for what was published. A
    tombstone forgets a customer who was erased.
    """
    async with agent.turn:
        named = accounts.take(chunk)
        await _publish(agent, accounts, named, now_ms, trigger="contact")
        await restate(accounts)
        if any(record.value is None for record in chunk):
            accounts.health.store.scrub_soon()  # what was replaced may name who was erased
        accounts.trim()


async def sweep(agent: Gather, accounts: Accounts, now_ms: int) -> None:
    """Publish the accounts whose rules call for it by time alone, a slice at a time.

    Raises Released once the partition is not ours any more, before anything else is published.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    everyone = iter(accounts.names())
    while names := list(islice(everyone, SWEEP_SLICE)):
        async with agent.turn:
            known = dict.fromkeys(names, 0)
            for found in await _publish(agent, accounts, known, now_ms, trigger="sweep"):
                if found.contacts:
                    counts[(found.band,)] += 1
            accounts.trim()
        await asyncio.sleep(0)
    accounts.counts = counts
    metrics.ACCOUNTS.share(accounts)


async def restate(accounts: Accounts) -> None:
    """Send again what counts where another record stands last."""
    await accounts.contacts.resend()
    await accounts.health.restate()


async def audit(agent: Gather, accounts: Accounts) -> None:
    """Put right what workers that do not own the partition any more have written."""
    async with agent.turn:
        await accounts.health.audit()
        accounts.contacts.learn([])  # so that the checkpoint is not taken for old
        await restate(accounts)


async def _publish(
    agent: Gather, accounts: Accounts, received: Mapping[str, int], now_ms: int, trigger: str
) -> list[Account]:
    """Evaluate accounts and publish what is news; all of them."""
    requests: list[Outgoing] = []
    rows: list[tuple[bytes, bytes]] = []
    evaluated: list[Account] = []
    for name, received_ms in received.items():
        known, contacts = accounts.published(name), accounts.members(name).values()
        if known is None and not contacts:
            continue  # nobody was told of this account
        found, asked = stand(
            name, contacts, known, now_ms, agent.policy, agent.ruleset, received_ms
        )
        metrics.ACCOUNT_EVALUATIONS.labels(trigger).inc()
        evaluated.append(found)
        if not is_news(found, known):
            continue
        requests += [
            Outgoing(topics.REQUESTS.name, 0, one.customer.encode(), _encode(one)) for one in asked
        ]
        rows.append((name.encode(), _encode(found)))
    await agent.deliver(requests)
    await accounts.health.append(rows)
    return evaluated
