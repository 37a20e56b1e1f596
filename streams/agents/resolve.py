"""The resolve agent: bytes to ledger rows, links and parts, one chunk of a partition at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from schemas import topics
from schemas.dead_letters import letter_of
from schemas.decode import Rejection, decode
from schemas.outcome import ERASE, FORGET, JourneyStep, Member
from schemas.state import AnchorState, part_key
from schemas.touchpoint import Touchpoint
from streams import metrics
from streams.core.dead_letter_limit import TooManyDeadLetters, Verdicts
from streams.core.resolve import (
    count,
    forget,
    homes_of,
    join,
    links_of,
    step_of,
    to_ms,
    told,
    updates_of,
)
from streams.delivery import Outgoing, partition_of
from streams.transport import Chunk, Record

Deliver = Callable[[list[Outgoing]], Awaitable[None]]
States = dict[str, AnchorState]  # anchor or other identifier -> what is known of it

_encode = msgspec.json.Encoder().encode
_decode_member = msgspec.json.Decoder(Member).decode


@dataclass(frozen=True, slots=True)
class Resolve:
    """What resolving depends on. `partitions` is the number of each keyed topic."""

    deliver: Deliver
    partitions: int
    identity_key: bytes
    phone_region: str
    own: frozenset[str] = frozenset()  # our own contacts, which identify nobody
    dead_letter_limit: float = 1.0  # share of a partition's last records


@dataclass(slots=True)
class _Outputs:
    records: list[Outgoing] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)  # anchor -> received ms of its newest
    channels: Counter[str] = field(default_factory=Counter)  # touchpoints counted
    duplicates: int = 0
    moods: dict[tuple[str, str], list[JourneyStep]] = field(default_factory=dict)  # texts

    def add(self, topic: topics.Topic, partition: int, key: str, value: object) -> None:
        self.records.append(Outgoing(topic.name, partition, key.encode(), _encode(value)))


async def resolve_touchpoints(
    agent: Resolve,
    states: States,
    verdicts: Verdicts,
    partition: int,
    chunk: Chunk,
    now: datetime,
) -> None:
    """Resolve a chunk of `touchpoints`: outputs first, then the changelog.

    Raises TooManyDeadLetters before anything is sent. Whatever raises leaves the chunk
    unacknowledged; `states` and `verdicts` must then be thrown away.
    """
    decoded = [decode(record.value or b"", now) for record in chunk]
    _check_limit(agent, verdicts, chunk, decoded)
    out = _Outputs()
    for record, touchpoint in zip(chunk, decoded, strict=True):
        received_ms = _received_ms(record, now)
        if isinstance(touchpoint, Rejection):
            _reject(out, agent, record, touchpoint, received_ms)
        else:
            _resolve(out, agent, states, partition, record, touchpoint, received_ms)
    for anchor, received_ms in out.changed.items():
        _send(out, agent, anchor, states[anchor], received_ms)
    await agent.deliver(out.records)
    for anchor in out.changed:
        told(states[anchor])
    await agent.deliver(_changelog(states, partition, out.changed))
    metrics.DUPLICATES.inc(out.duplicates)
    for channel, counted in out.channels.items():
        metrics.TOUCHPOINTS.labels(channel).inc(counted)
    for labels, texts in out.moods.items():
        metrics.SENTIMENT.observe_all([step.sentiment / 1000 for step in texts], labels)
        metrics.DISTRESS.observe_all([step.distress / 1000 for step in texts], labels)


async def resolve_members(agent: Resolve, states: States, partition: int, chunk: Chunk) -> None:
    """Take a chunk of `identity.members`: parts go to new customers, tombstones to the old.

    Here the changelog comes first. Were a part sent to a customer that no changelog names, and the
    member record compacted away before the next try, nobody could take it back from there.

    An erasure comes as a tombstone: the identifier's state goes, and its part at every customer
    that had it. Those are told before the changelog, which alone knows who they are.
    """
    out = _Outputs()
    moved: dict[str, int] = {}
    erased: dict[str, None] = {}
    forgets: list[tuple[str, str]] = []
    for record in chunk:
        if record.value is None:
            first, *names = (record.key or b"").decode().split("\0")
            if first == FORGET:
                forgets.append((names[0], names[1]))
            elif first == ERASE:
                (name,) = names
                out.records += [_gone(agent, name, c) for c in homes_of(name, states.get(name))]
                states.pop(name, None)
                moved.pop(name, None)
                out.changed.pop(name, None)
                erased[name] = None
            continue
        member = _decode_member(record.value)
        state = states.setdefault(member.identifier, AnchorState())
        out.changed[member.identifier] = record.timestamp
        if join(state, member):
            moved[member.identifier] = record.timestamp
    await agent.deliver(out.records)
    await agent.deliver(_changelog(states, partition, erased.keys() | out.changed.keys()))
    out.records = []
    for anchor, received_ms in moved.items():
        _send(out, agent, anchor, states[anchor], received_ms)
    await agent.deliver(out.records)
    for anchor in moved:
        told(states[anchor])
    await _forget(agent, states, partition, forgets)


async def _forget(
    agent: Resolve, states: States, partition: int, forgets: list[tuple[str, str]]
) -> None:
    """Have identifiers forget others that were erased, and those forget what these told them."""
    known = [(name, erased) for name, erased in forgets if name in states]
    for name, erased in known:
        forget(states[name], erased)
    await agent.deliver([_gone(agent, name, c) for name, c in known if states[name].customer != c])
    await agent.deliver(_changelog(states, partition, {name for name, _ in known}))


def reason_of(decoded: Touchpoint | Rejection) -> str | None:
    """Why a record is a dead letter; None for a touchpoint."""
    return decoded.reason if isinstance(decoded, Rejection) else None


def _check_limit(
    agent: Resolve, verdicts: Verdicts, chunk: Chunk, decoded: list[Touchpoint | Rejection]
) -> None:
    topic, partition = chunk[0].topic, chunk[0].partition
    over = verdicts.take(map(reason_of, decoded), agent.dead_letter_limit)
    metrics.DEAD_LETTER_SHARE.labels(str(partition)).set(verdicts.share)
    if over is not None:
        raise TooManyDeadLetters(topic, partition, over, agent.dead_letter_limit)


def _received_ms(record: Record, now: datetime) -> int:
    """When the broker took a record: where it has the producer's word, only if that can be true.

    What is older than the topic keeps records, or in the future, was taken now as far as we know.
    """
    now_ms = to_ms(now)
    oldest = now_ms - topics.TOUCHPOINTS.retention_days * 86_400_000
    return record.timestamp if oldest <= record.timestamp <= now_ms else now_ms


def _send(out: _Outputs, agent: Resolve, anchor: str, state: AnchorState, received_ms: int) -> None:
    for update in updates_of(anchor, state, received_ms):
        home = partition_of(update.customer.encode(), agent.partitions)
        key = part_key(update.customer, anchor)
        out.records.append(Outgoing(topics.PARTS.name, home, key, _encode(update)))


def _resolve(
    out: _Outputs,
    agent: Resolve,
    states: States,
    partition: int,
    record: Record,
    touchpoint: Touchpoint,
    received_ms: int,
) -> None:
    step = step_of(touchpoint, received_ms, agent.identity_key, agent.phone_region, agent.own)
    state = states.get(step.anchor)
    if state is None:
        home = partition_of(step.anchor.encode(), agent.partitions)
        if home != partition:
            metrics.REKEYED.inc()
            out.records.append(
                Outgoing(topics.TOUCHPOINTS.name, home, step.anchor.encode(), record.value)
            )
            return
        state = states[step.anchor] = AnchorState()
    if not count(state, step, record.offset):
        out.duplicates += 1
        return
    out.channels[step.channel] += 1
    if step.scorer:
        out.moods.setdefault((step.channel, step.language), []).append(step)
    out.changed[step.anchor] = received_ms
    _publish(out, partition, step, state)


def _publish(out: _Outputs, partition: int, step: JourneyStep, state: AnchorState) -> None:
    out.add(topics.JOURNEYS, partition, step.anchor, step)
    for link in links_of(state, step):
        out.add(topics.LINKS, 0, link.key(), link)


def _reject(
    out: _Outputs, agent: Resolve, record: Record, rejection: Rejection, received_ms: int
) -> None:
    metrics.DEAD_LETTERS.labels(rejection.reason).inc()
    raw = record.value or b""
    letter = letter_of(record.topic, record.partition, record.offset, rejection, raw, received_ms)
    out.add(topics.DEAD_LETTERS, record.partition % agent.partitions, letter.id, letter)


def _gone(agent: Resolve, anchor: str, customer: str) -> Outgoing:
    home = partition_of(customer.encode(), agent.partitions)
    return Outgoing(topics.PARTS.name, home, part_key(customer, anchor), None)


def _changelog(states: States, partition: int, changed: Iterable[str]) -> list[Outgoing]:
    return [
        Outgoing(
            topics.ANCHORS.name,
            partition,
            anchor.encode(),
            _encode(states[anchor]) if anchor in states else None,
        )
        for anchor in changed
    ]


def now_utc() -> datetime:
    """The clock of the agents' edge."""
    return datetime.now(UTC)
