"""The identity agent: links to customers; the one place that knows every link."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from schemas import topics
from schemas.outcome import Link, Member
from streams import metrics
from streams.core.identity import Identities
from streams.delivery import Outgoing, partition_of
from streams.transport import Chunk

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
    """
    epoch = chunk[-1].offset + 1
    links = [decode_link(record.value) for record in chunk if record.value is not None]
    changed = identities.learn(links)
    metrics.MEMBERS.inc(len(changed))
    last = {link.key(): link for link in links}
    kept = {key: identities.kept(link) for key, link in last.items()}
    await deliver(
        [
            Outgoing(
                topics.MEMBERS.name,
                partition_of(identifier.encode(), partitions),
                identifier.encode(),
                _encode(Member(identifier, customer, epoch)),
            )
            for identifier, customer in changed.items()
        ]
        + [
            Outgoing(topics.LINKS.name, chunk[0].partition, key.encode(), _encode(link))
            for key, link in kept.items()
            if link != last[key]
        ]
    )
