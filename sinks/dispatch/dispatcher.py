"""The dispatcher: from decisions to lanes and senders, and what became of them to the journal."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from schemas import topics
from schemas.outcome import UNFINISHED, OutreachDecision, OutreachOutcome, Status
from sinks.dispatch.channels import Channel, Sender
from sinks.dispatch.journal import Journal, Known, id_of
from sinks.dispatch.lane import Lane, Pending
from sinks.dispatch.verdict import Verdict
from streams import metrics
from streams.core.progress import Lane as Progress
from streams.outage import patiently
from streams.probes import KAFKA, Probes, describe
from streams.retry import backoff

_FETCH: Final = 0.2  # seconds that a fetch may wait
_MOST: Final = 500  # records of a fetch
_EVERY: Final = 1.0  # seconds between commits, and looks for what has expired
_FIRST_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 60.0
_END_SECONDS: Final = 10.0  # of what is under way, once the dispatcher is to stop
_REVOKED_SECONDS: Final = 3.0  # of the same, where the partition goes to another
_PARTITION: Final = TopicPartition(topics.OUTREACH.name, 0)
_CUT_OFF: Final = Verdict(Status.UNKNOWN, "cut off while it was sent")
_decode: Final = msgspec.json.Decoder(OutreachDecision).decode
log = logging.getLogger("journey.dispatch")


class UndecodableDecision(Exception):
    """One of our own records is not what the dispatcher expects: a bug, so it stops."""


class Dispatcher(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer, and a lane for each endpoint. What a full lane cannot hold stays in Kafka."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        channels: Mapping[str, Channel],
        journal: Journal,
        read_known: Callable[[], Awaitable[Known]],
        probes: Probes,
    ) -> None:
        self.assigned = asyncio.Event()
        self._consumer, self._channels, self._journal = consumer, channels, journal
        self._read_known, self._probes = read_known, probes
        self._lanes: dict[str, Lane] = {one.lane.name: one.lane for one in channels.values()}
        self._changed = {name: asyncio.Event() for name in self._lanes}
        self._owned = False
        self._known: Known | None = None  # None until it was read for the partition we own
        self._seen_to = 0  # how far the topic was read by this owner
        self._open: set[int] = set()  # offsets of what is recorded without a lane
        self._committed = -1
        self._revocations = 0
        self._services: set[asyncio.Task[None]] = set()
        self._attempts: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._looked = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then what is under way may end.

        Raises UndecodableDecision, and what a task of it raises.
        """
        workers = [self._spawn(self._work(one), self._services) for one in self._lanes.values()]
        journal = self._spawn(self._journal.run(), self._services)
        while not stop.is_set() and self._fault is None:
            await self._read()
            if time.monotonic() >= self._looked + _EVERY:
                self._looked = time.monotonic()
                await self._commit()
        for worker in workers:
            worker.cancel()
        await self._end_attempts(_END_SECONDS)
        if self._fault is None:
            await self._commit()
        journal.cancel()
        if self._fault is not None:
            raise self._fault

    def look(self) -> tuple[Mapping[str, Progress], Mapping[str, str]]:
        """What waits and what moved. An endpoint that is away is no reason to start again."""
        for lane in self._lanes.values():
            metrics.ENDPOINT_BACKLOG.labels(lane.name).set(lane.backlog)
            state = lane.breaker.state(time.monotonic())
            metrics.ENDPOINT_BREAKER.labels(lane.name).set(state)
        lanes = {"journal": Progress(self._journal.waits, self._journal.written)}
        subscription = self._consumer._subscription.subscription
        if subscription is None or subscription.assignment is None:
            lanes["group"] = Progress(waiting=True, mark=self._revocations)
            return lanes, {"group": "has not given partitions"}
        position, end = self._position()
        metrics.LAG.clear()
        if position is not None and end is not None:
            lag = metrics.LAG.labels(_PARTITION.topic, str(_PARTITION.partition))
            lag.set(max(0, end - self._low_water(position)))
        owned = bool(subscription.assignment.tps)
        lanes["outreach"] = Progress(owned and (position is None or position != end), position)
        return lanes, {}

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let what is under way end, for a moment; the rest is the next owner's."""
        self._revocations += 1
        if not list(revoked):
            return
        self._owned = False
        for lane in self._lanes.values():
            lane.start_at = math.inf
        await self._end_attempts(_REVOKED_SECONDS)
        await self._commit()
        for lane in self._lanes.values():
            lane.clear()
        self._open.clear()
        self._known = None
        log.info("revoked")

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin anew with what the topics say."""
        self._owned = _PARTITION in set(assigned)
        self._known, self._seen_to, self._committed = None, 0, -1
        log.info("assigned" if self._owned else "stands by: another dispatcher is at work")
        self.assigned.set()

    async def _read(self) -> None:
        """Fetch, and give what was fetched to the lanes."""
        fetched = await self._consumer.getmany(timeout_ms=round(_FETCH * 1000), max_records=_MOST)
        if not self._owned:
            return
        if self._known is None:
            revocations = self._revocations
            known = await patiently(self._load, self._probes)(0, None)
            if revocations != self._revocations or not self._owned:
                return
            self._known = known
        ended = []
        for record in fetched.get(_PARTITION, ()):
            if record.value is None:
                ended += self._forget(record.key or b"", record.offset)
            else:
                ended += self._take(self._known, record)
            self._seen_to = max(self._seen_to, record.offset + 1)
        if ended:  # of the broker alone it depends how long these take: no more is read meanwhile
            await asyncio.wait(ended, timeout=_END_SECONDS)
        position, end = self._position()
        if position is None or not self._owned:  # revoked while we waited
            return
        self._seen_to = max(self._seen_to, position)
        for lane in self._lanes.values():
            lane.read(position, end)
            self._changed[lane.name].set()
        self._read_again(position)

    async def _load(self, _partition: int, _before: int | None) -> Known:
        return await self._read_known()

    def _read_again(self, position: int) -> None:
        """Go back to what full lanes have left, once they have room."""
        back = [
            left for lane in self._lanes.values() if (left := lane.read_again(position)) is not None
        ]
        if back:
            self._consumer.seek(_PARTITION, min(back))

    def _take(self, known: Known, record: Any) -> list[asyncio.Task[None]]:
        """Give a decision to its lane; what is under way where it ends without one."""
        try:
            decision = _decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UndecodableDecision(
                f"{record.topic} offset {record.offset} is not an OutreachDecision: {error}"
            ) from error
        if not decision.taken or decision.decision_id in known.done:
            return []
        pending = Pending(decision, record.offset)
        begun = known.begun.get(decision.decision_id)
        if begun is not None:
            pending.attempts = begun.attempts
            pending.cut_off = begun.status is Status.SENDING
        again = record.offset < self._seen_to  # for a lane that had left some
        channel = self._channels.get(decision.channel)
        if channel is None or (not again and pending.expires_ms <= time.time_ns() // 1_000_000):
            verdict = Verdict(Status.NO_ENDPOINT) if channel is None else _expired(pending)
            if again:
                return []
            return [self._open_task(record.offset, self._end(pending, verdict))]
        if not again or channel.lane.start_at:
            channel.lane.offer(pending)
        return []

    def _forget(self, key: bytes, offset: int) -> list[asyncio.Task[None]]:
        """A decision was removed: it is not sent any more, and what became of it goes too."""
        id_ = id_of(key)
        for lane in self._lanes.values():
            lane.erase(id_)
        if self._known is None or not self._known.forget(id_):
            return []
        return [self._open_task(offset, self._journal.forget(key))]

    def _open_task(self, offset: int, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work on a record that no lane has: its offset is not committed before it is done."""

        async def done() -> None:
            await work
            self._open.discard(offset)

        self._open.add(offset)
        return self._spawn(done(), self._attempts)

    async def _work(self, lane: Lane) -> None:
        """Start attempts of a lane, for ever."""
        changed = self._changed[lane.name]
        while True:
            changed.clear()
            if not lane.start_at:
                for pending in lane.take_expired(time.time_ns() // 1_000_000):
                    ended = self._finish(lane, pending, _expired(pending))
                    self._spawn(ended, self._attempts)
            while (started := lane.start(time.monotonic())) is not None:
                self._spawn(self._attempt(lane, started), self._attempts)
            pause = lane.pause(time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), _EVERY if pause is None else pause)

    async def _attempt(self, lane: Lane, pending: Pending) -> None:
        """Send a decision once, and write before and after how far it is."""
        sender = self._channels[pending.decision.channel].sender
        try:
            if pending.cut_off and not sender.repeatable:
                verdict = _CUT_OFF
                lane.breaker.abandoned()
            else:
                verdict = await self._send(lane, pending, sender)
        except BaseException:
            lane.breaker.abandoned()
            raise
        if verdict.status not in UNFINISHED or pending.erased:
            await self._finish(lane, pending, verdict)
            return
        await self._record(pending, verdict)
        pause = backoff(pending.attempts - 1, _FIRST_RETRY, _LONGEST_RETRY)
        lane.again(pending, time.monotonic() + max(pause, verdict.retry_after))
        self._changed[lane.name].set()

    async def _send(self, lane: Lane, pending: Pending, sender: Sender) -> Verdict:
        pending.attempts += 1
        await self._record(pending, Verdict(Status.SENDING))
        pending.cut_off = False
        if pending.erased:
            lane.breaker.abandoned()
            return Verdict(Status.EXPIRED)  # which is not recorded
        began = time.monotonic()
        verdict = await sender.send(pending.decision)
        now = time.monotonic()
        metrics.ATTEMPT_SECONDS.labels(lane.name).observe(now - began)
        metrics.ATTEMPTS.labels(lane.name, verdict.status).inc()
        if verdict.healthy:
            lane.breaker.succeeded()
        else:
            lane.breaker.failed(now)
        lane.rests_until = max(lane.rests_until, now + verdict.retry_after)
        return verdict

    async def _finish(self, lane: Lane, pending: Pending, verdict: Verdict) -> None:
        await self._end(pending, verdict)
        lane.finish(pending)
        self._changed[lane.name].set()

    async def _end(self, pending: Pending, verdict: Verdict) -> None:
        """Nothing follows on a decision. What expired tells why the attempts before failed."""
        decision = pending.decision
        if pending.erased:
            return
        if self._known is not None and verdict.status is Status.EXPIRED:
            begun = self._known.begun.get(decision.decision_id)
            verdict = verdict._replace(detail=begun.detail if begun is not None else "")
        await self._record(pending, verdict)
        metrics.OUTREACH_OUTCOMES.labels(decision.channel, verdict.status).inc()
        if verdict.status is Status.SENT:
            seconds = max(0.0, time.time() - decision.decided_ms / 1000)
            metrics.OUTREACH_SENT_SECONDS.labels(decision.channel).observe(seconds)

    async def _record(self, pending: Pending, verdict: Verdict) -> None:
        """Write how far a decision has come, unless it was erased meanwhile."""
        decision = pending.decision
        if pending.erased or self._known is None:
            return
        outcome = OutreachOutcome(
            decision.decision_id,
            decision.customer,
            decision.rule,
            decision.channel,
            verdict.status,
            time.time_ns() // 1_000_000,
            pending.attempts,
            verdict.detail,
        )
        self._known.take(outcome)
        await self._journal.record(outcome)

    def _spawn(
        self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        among.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            among.discard(task)
            if not task.cancelled() and (fault := task.exception()) is not None:
                self._fault = self._fault or fault

        task.add_done_callback(ended)
        return task

    async def _end_attempts(self, seconds: float) -> None:
        """Let attempts end, and cancel those that take too long: the next owner makes them anew."""
        if self._attempts:
            _, late = await asyncio.wait(self._attempts, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _position(self) -> tuple[int | None, int | None]:
        """The next offset to fetch and the topic's end, where they are known."""
        subscription = self._consumer._subscription.subscription
        assignment = subscription.assignment if subscription else None
        if assignment is None or _PARTITION not in assignment.tps:
            return None, None
        state = assignment.state_value(_PARTITION)
        return (state.position if state.has_valid_position else None), state.highwater

    def _low_water(self, position: int) -> int:
        """The first offset that is not done."""
        held = min((lane.first_offset() for lane in self._lanes.values()), default=math.inf)
        return int(min(position, held, *self._open, self._seen_to))

    async def _commit(self) -> None:
        position, _ = self._position()
        if position is None or self._known is None:
            return
        offset = self._low_water(position)
        if offset == self._committed:
            return
        try:
            await self._consumer.commit({_PARTITION: offset})
        except (CommitFailedError, IllegalStateError) as error:
            log.warning("not committed, so this will be read again: %s", error)
        except KafkaError as error:
            self._probes.away(KAFKA, describe(error))
        else:
            self._committed = offset
            metrics.OFFSET.labels(_PARTITION.topic, str(_PARTITION.partition)).set(offset - 1)


def _expired(pending: Pending) -> Verdict:
    """What may not be sent any more; where an attempt was cut off, it may have been."""
    return _CUT_OFF if pending.cut_off else Verdict(Status.EXPIRED)
