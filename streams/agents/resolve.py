"""The resolve agent: bytes to ledger rows, links and parts, one chunk of a partition at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
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
from streams.changelog import Changelog
from streams.core.dead_letter_limit import TooManyDeadLetters, Verdicts
from streams.core.journey import bounds_met
from streams.core.resolve import (
    AnchorHead,
    count,
    forget,
    homes_of,
    is_told,
    join,
    links_of,
    merge,
    step_of,
    supersedes,
    tell,
    to_ms,
    updates_of,
)
from streams.delivery import Outgoing, partition_of
from streams.recent import Recent
from streams.transport import Chunk, Record

Deliver = Callable[[list[Outgoing]], Awaitable[object]]

_encode = msgspec.json.Encoder().encode
_decode_member = msgspec.json.Decoder(Member).decode
_decode_state = msgspec.json.Decoder(AnchorState).decode
_decode_head = msgspec.json.Decoder(AnchorHead).decode


class States:
    """What is known of a partition's identifiers, decoded as they are needed.

    A state is changed in place and then saved; one that was not is as before once forgotten.
    """

    def __init__(self, changelog: Changelog) -> None:
        self.changelog = changelog
        self.turn = asyncio.Lock()  # chunks and audits take turns
        self._recent: Recent[AnchorState] = Recent()
        self._erased: set[str] = set()  # and not saved yet

    def get(self, identifier: str) -> AnchorState | None:
        """Its state; None where nothing is known of it."""
        state = self._recent.get(identifier)
        if state is None and identifier not in self._erased:
            value = self.changelog.get(identifier.encode())
            if value is not None:
                state = self._recent.put(identifier, _decode_state(value))
        return state

    def get_or_new(self, identifier: str) -> AnchorState:
        """Its state, empty where nothing is known of it."""
        return self.get(identifier) or self._recent.put(identifier, AnchorState())

    def erase(self, identifier: str) -> None:
        """Know nothing of it any more."""
        self._recent.discard(identifier)
        self._erased.add(identifier)

    async def save(self, identifiers: Iterable[str]) -> None:
        """Write states to the changelog. What others have written meanwhile is merged into them.

        One erased that began anew has a tombstone first, or readers would merge it with its past.
        """
        pairs: list[tuple[bytes, bytes | None]] = []
        for name in identifiers:
            state = self.get(name)
            if state is None or name in self._erased:
                pairs.append((name.encode(), None))
            if state is not None:
                pairs.append((name.encode(), _encode(state)))
        if pairs:
            self._forget(await self.changelog.append(pairs))
            self._erased.difference_update(key.decode() for key, _ in pairs)

    async def audit(self) -> None:
        """Merge what others have written."""
        self._forget(await self.changelog.audit())

    def trim(self) -> None:
        """Let go of states that were not needed lately; none may be in use."""
        self._recent.trim()

    def close(self) -> None:
        """Let go of the store."""
        self.changelog.close()

    def _forget(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._recent.discard(key.decode())


def merge_states(known: bytes, news: bytes) -> bytes:
    """What two records of one identifier say together."""
    heads = _decode_head(known), _decode_head(news)
    if supersedes(heads[1], heads[0]):
        return news
    if supersedes(heads[0], heads[1]):
        return known
    return _encode(merge(_decode_state(known), _decode_state(news)))


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
    counted: list[JourneyStep] = field(default_factory=list)  # for the first time
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
    async with states.turn:
        for record, touchpoint in zip(chunk, decoded, strict=True):
            received_ms = _received_ms(record, now)
            if isinstance(touchpoint, Rejection):
                _reject(out, agent, record, touchpoint, received_ms)
            else:
                _resolve(out, agent, states, partition, record, touchpoint, received_ms)
        for anchor, received_ms in out.changed.items():
            _send(out, agent, anchor, states.get_or_new(anchor), received_ms)
        await agent.deliver(out.records)
        for anchor in out.changed:
            tell(states.get_or_new(anchor))
        await states.save(out.changed)
        await restate(agent, states)
        states.trim()
    metrics.DUPLICATES.inc(out.duplicates)
    for channel, counted in Counter(step.channel for step in out.counted).items():
        metrics.TOUCHPOINTS.labels(channel).inc(counted)
    metrics.BREAKDOWN.count(out.counted)
    for labels, texts in out.moods.items():
        metrics.SENTIMENT.observe_all([step.sentiment / 1000 for step in texts], labels)
        metrics.DISTRESS.observe_all([step.distress / 1000 for step in texts], labels)


async def resolve_members(agent: Resolve, states: States, chunk: Chunk) -> None:
    """Take a chunk of `identity.members`: parts go to new customers, tombstones to the old.

    Here the changelog comes first. Were a part sent to a customer that no changelog names, and the
    member record compacted away before the next try, nobody could take it back from there.

    An erasure comes as a tombstone: the identifier's state goes, and its part at every customer
    that had it. Those are told before the changelog, which alone knows who they are.
    """
    changed: dict[str, int] = {}
    moved: dict[str, int] = {}
    erased: dict[str, None] = {}
    gone: list[Outgoing] = []
    forgets: list[tuple[str, str]] = []
    async with states.turn:
        for record in chunk:
            if record.value is None:
                first, *names = (record.key or b"").decode().split("\0")
                if first == FORGET:
                    forgets.append((names[0], names[1]))
                elif first == ERASE:
                    (name,) = names
                    gone += [_gone(agent, name, c) for c in homes_of(name, states.get(name))]
                    states.erase(name)
                    moved.pop(name, None)
                    changed.pop(name, None)
                    erased[name] = None
                continue
            member = _decode_member(record.value)
            changed[member.identifier] = record.timestamp
            if join(states.get_or_new(member.identifier), member):
                moved[member.identifier] = record.timestamp
        await agent.deliver(gone)
        await states.save(erased.keys() | changed.keys())
        await _send_parts(agent, states, moved)
        await _forget(agent, states, forgets)
        await restate(agent, states)
        states.trim()


async def _forget(agent: Resolve, states: States, forgets: list[tuple[str, str]]) -> None:
    """Have identifiers forget others that were erased, and those forget what these told them."""
    known = {name: state for name, _ in forgets if (state := states.get(name)) is not None}
    gone = []
    for name, erased in forgets:
        if name in known:
            forget(known[name], erased)
            if known[name].customer != erased:
                gone.append(_gone(agent, name, erased))
    await agent.deliver(gone)
    await states.save(known)
    if known:
        states.changelog.store.scrub_soon()  # what was replaced names somebody


async def restate(agent: Resolve, states: States) -> None:
    """Send what counts of identifiers whose last record in the changelog is another: all of it.

    What was merged may be what nobody has sent yet.
    """
    while names := [key.decode() for key in states.changelog.stale]:
        metrics.RESTATED.labels(states.changelog.topic).inc(len(names))
        await _send_parts(agent, states, dict.fromkeys(names, 0))
        await states.save(names)


async def audit(agent: Resolve, states: States) -> None:
    """Put right what workers that do not own the partition any more have written."""
    async with states.turn:
        await states.audit()
        await restate(agent, states)


async def _send_parts(agent: Resolve, states: States, moved: Mapping[str, int]) -> None:
    out = _Outputs()
    sent = {name: state for name in moved if is_told(state := states.get_or_new(name))}
    for anchor, state in sent.items():
        _send(out, agent, anchor, state, moved[anchor])
    await agent.deliver(out.records)
    for state in sent.values():
        tell(state)


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
        state = states.get_or_new(step.anchor)
    bounded = bounds_met(state.part)
    if not count(state, step, record.offset):
        out.duplicates += 1
        return
    for bound in bounds_met(state.part) - bounded:
        metrics.BOUNDED.labels(bound).inc()
    out.counted.append(step)
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


def now_utc() -> datetime:
    """The clock of the agents' edge."""
    return datetime.now(UTC)
