"""The identity agent: links to customers; the one place that knows every link."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec

from schemas import topics
from schemas.outcome import Link, Member, erased_by, erasure_key, forget_key
from streams import metrics
from streams.changelog import Changelog
from streams.core.identity import Forgotten, Identities
from streams.core.links import merge
from streams.delivery import Outgoing, partition_of
from streams.transport import Chunk, Record

_encode = msgspec.json.Encoder().encode
decode_link = msgspec.json.Decoder(Link).decode
_decode_member = msgspec.json.Decoder(Member).decode


class Known:
    """What the agent knows: every link, and what it has told, by partition of `identity.members`.

    Of the links, the changelog is kept where its store outlives the process.
    """

    def __init__(
        self, identities: Identities, links: Changelog, members: Sequence[Changelog]
    ) -> None:
        self.identities, self._links, self._members = identities, links, members
        self._turn = asyncio.Lock()  # chunks and audits take turns
        identities.learn(map(decode_link, links.store.values()))
        if not links.store.lasting:
            links.close()  # the identities hold it all

    async def tell(self, told: Iterable[Outgoing]) -> None:
        """Write to `identity.members`; where a later epoch is known already, that again."""
        pairs: dict[int, list[tuple[bytes, bytes | None]]] = defaultdict(list)
        async with self._turn:
            for record in told:
                known = self._members[record.partition].get(record.key)
                value = record.value
                if known is not None and value is not None:
                    value = merge_members(known, value)
                pairs[record.partition].append((record.key, value))
            await asyncio.gather(
                *(self._members[partition].append(of) for partition, of in pairs.items())
            )
        await self.restate()

    async def audit(self) -> None:
        """Put right what workers that are not the owner any more have told."""
        async with self._turn:
            await asyncio.gather(*(members.audit() for members in self._members))
            if self._links.store.lasting:
                self._links.learn([])  # so that the checkpoint is not taken for old
        await self.restate()

    async def restate(self) -> None:
        """Tell again what does not stand last."""
        async with self._turn:
            for members in self._members:
                if members.stale:
                    metrics.RESTATED.labels(members.topic).inc(len(members.stale))
                    await members.restate()

    def learned(self, chunk: Chunk) -> None:
        """Remember that a chunk's links are known and were announced."""
        if self._links.store.lasting:
            self._links.learn(chunk)
            self._links.stale.clear()  # `identify` has sent again what has to stand last

    def close(self) -> None:
        """Let go of the stores."""
        for changelog in (self._links, *self._members):
            changelog.close()


def merge_members(known: bytes, news: bytes) -> bytes:
    """Of what an identifier was told twice, what was decided later."""
    return known if _decode_member(known).epoch > _decode_member(news).epoch else news


def merge_links(known: bytes, news: bytes) -> bytes:
    """Of two records of one link, the one that counts."""
    last = decode_link(news)
    kept = merge(decode_link(known), last)
    return news if kept == last else known


async def identify(
    deliver: Callable[[list[Outgoing]], Awaitable[object]],
    partitions: int,
    known: Known,
    chunk: Chunk,
) -> None:
    """Learn a chunk of `identity.links` and announce every identifier whose customer changed.

    The links topic is the agent's own changelog: what it knew before a chunk is what stands
    before the chunk's first offset. A key's last record is what compaction leaves, so where that
    is not the one that counts, the latter is sent again.

    An erasure (`schemas.outcome.erasure_key`) drops what links its identifiers, and tells their
    owners to drop what they know of them.
    """
    identities = known.identities
    told: list[Outgoing] = []
    kept: list[Outgoing] = []
    last: dict[str, Link | None] = {}
    for run in _runs(chunk):
        key, epoch = _key(run[0]), run[-1].offset + 1
        if erased := erased_by(key):
            forgotten = identities.forget(erased)
            told += _tell(forgotten, erased, partitions, epoch)
            kept += [_link(link.key(), None) for link in forgotten.links]
            continue
        links = [decode_link(record.value) for record in run if record.value is not None]
        changed = identities.learn(links)
        metrics.MEMBERS.inc(len(changed))
        told += [_member(Member(*news, epoch), partitions) for news in changed.items()]
        last |= {link.key(): link for link in links}
        last |= {_key(record): None for record in run if record.value is None}
    kept += [
        _link(key, _encode(link))
        for key, found in last.items()
        if (link := identities.links.record(key)) is not None and link != found
    ]
    # Who has to hear of an erasure is known by the links it drops, so those go last.
    await known.tell(told)
    await deliver(kept)


def _runs(chunk: Chunk) -> Iterator[list[Record]]:
    """The chunk in pieces: links and entries that follow each other, or one erasure."""
    run: list[Record] = []
    for record in chunk:
        if erased_by(_key(record)):
            if run:
                yield run
            yield [record]
            run = []
        else:
            run.append(record)
    if run:
        yield run


def _tell(forgotten: Forgotten, erased: list[str], partitions: int, epoch: int) -> list[Outgoing]:
    """Records of `identity.members` after an erasure.

    What is kept under a freed identifier goes before anybody is given the identifier. An order to
    erase has a key of its own, so that compaction never takes a later record for it.
    """
    orders = [_members(i, erasure_key([i]), None, partitions) for i in (*erased, *forgotten.freed)]
    tombstones = [_members(i, i, None, partitions) for i in erased]
    members = [_member(Member(*news, epoch), partitions) for news in forgotten.customers.items()]
    forgets = [
        _members(end, forget_key(end, gone), None, partitions)
        for link in forgotten.links
        for end, gone in ((link.a, link.b), (link.b, link.a))
        if gone in erased and end not in erased
    ]
    return orders + tombstones + members + forgets


def _member(member: Member, partitions: int) -> Outgoing:
    return _members(member.identifier, member.identifier, _encode(member), partitions)


def _members(identifier: str, key: str, value: bytes | None, partitions: int) -> Outgoing:
    home = partition_of(identifier.encode(), partitions)
    return Outgoing(topics.MEMBERS.name, home, key.encode(), value)


def _link(key: str, value: bytes | None) -> Outgoing:
    return Outgoing(topics.LINKS.name, 0, key.encode(), value)


def _key(record: Record) -> str:
    return (record.key or b"").decode()
