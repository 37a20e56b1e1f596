"""The identity agent: links to customers; the one place that knows every link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

import msgspec

from schemas import topics
from schemas.outcome import Link, Member, erased_by, forget_key
from streams import metrics
from streams.core.identity import Identities
from streams.delivery import Outgoing, partition_of
from streams.transport import Chunk, Record

_encode = msgspec.json.Encoder().encode
decode_link = msgspec.json.Decoder(Link).decode


async def identify(
    deliver: Callable[[list[Outgoing]], Awaitable[None]],
    partitions: int,
    identities: Identities,
    chunk: Chunk,
) -> None:
    """Learn a chunk of `identity.links` and announce every identifier whose customer changed.

    The links topic is the agent's own changelog: what it knew before a chunk is what stands
    before the chunk's first offset. A key's last record is what compaction leaves, so where that
    is not the one that counts, the latter is sent again.

    An erasure (`schemas.outcome.erasure_key`) drops what links its identifiers, and tells their
    owners to drop what they know of them.
    """
    outgoing: list[Outgoing] = []
    last: dict[str, Link | None] = {}
    for run in _runs(chunk):
        key, epoch = _key(run[0]), run[-1].offset + 1
        if erased := erased_by(key):
            outgoing += _forget(identities, erased, partitions, chunk[0].partition, epoch)
            continue
        links = [decode_link(record.value) for record in run if record.value is not None]
        changed = identities.learn(links)
        metrics.MEMBERS.inc(len(changed))
        outgoing += [_member(Member(*told, epoch), partitions) for told in changed.items()]
        last |= {link.key(): link for link in links}
        last |= {_key(record): None for record in run if record.value is None}
    outgoing += [
        Outgoing(topics.LINKS.name, chunk[0].partition, key.encode(), _encode(kept))
        for key, found in last.items()
        if (kept := identities.links.record(key)) is not None and kept != found
    ]
    await deliver(outgoing)


def learn_again(identities: Identities, records: Iterable[Record]) -> None:
    """Learn the links topic from its beginning, without what was erased later.

    Compaction may have left links that a later erasure names.
    """
    standing: dict[str, list[Record]] = {}
    erased: dict[str, int] = {}  # identifier -> offset of its last erasure
    for record in records:
        key = _key(record)
        if names := erased_by(key):
            erased |= dict.fromkeys(names, record.offset)
        elif record.value is None:
            standing.pop(key, None)
        else:
            standing.setdefault(key, []).append(record)
    identities.learn(
        decode_link(record.value)
        for key, records in standing.items()
        for record in records
        if record.value is not None
        and not any(record.offset < erased.get(end, -1) for end in key.split("\0"))
    )


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


def _forget(
    identities: Identities, erased: list[str], partitions: int, partition: int, epoch: int
) -> list[Outgoing]:
    forgotten = identities.forget(erased)
    tombstones = [
        Outgoing(topics.LINKS.name, partition, link.key().encode(), None)
        for link in forgotten.links
    ]
    # What is kept under a freed identifier goes before anybody is given the identifier.
    tombstones += [
        Outgoing(topics.MEMBERS.name, partition_of(i.encode(), partitions), i.encode(), None)
        for i in (*erased, *forgotten.freed)
    ]
    members = [_member(Member(*told, epoch), partitions) for told in forgotten.customers.items()]
    return (
        tombstones
        + members
        + [
            Outgoing(
                topics.MEMBERS.name,
                partition_of(end.encode(), partitions),
                forget_key(end, gone).encode(),
                None,
            )
            for link in forgotten.links
            for end, gone in ((link.a, link.b), (link.b, link.a))
            if gone in erased and end not in erased
        ]
    )


def _member(member: Member, partitions: int) -> Outgoing:
    key = member.identifier.encode()
    return Outgoing(topics.MEMBERS.name, partition_of(key, partitions), key, _encode(member))


def _key(record: Record) -> str:
    return (record.key or b"").decode()
