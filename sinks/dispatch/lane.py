"""What waits for one endpoint and what is under way to it, both bounded; time is an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final

from schemas.outcome import OutreachDecision
from sinks.dispatch.breaker import Breaker
from sinks.dispatch.message import expires_of

CAPACITY: Final = 1_000


@dataclass(slots=True)
class Pending:
    """A decision on its way, and where it stands in the topic."""

    decision: OutreachDecision
    offset: int
    attempts: int = 0
    cut_off: bool = False  # an attempt was under way when its process died
    erased: bool = False  # meanwhile its record was removed

    @property
    def expires_ms(self) -> int:
        """When it may not be sent any more."""
        return expires_of(self.decision)


@dataclass(slots=True)
class Lane:
    """The decisions of an endpoint: in memory up to `capacity`, the rest stays in Kafka.

    `left_at` is the offset of the first that was left there. Nothing starts before the topic was
    read up to `start_at`: what comes later may remove what came before. 0: it has been.
    """

    name: str
    breaker: Breaker
    concurrency: int
    capacity: int = CAPACITY
    start_at: float = math.inf
    left_at: int | None = None
    rests_until: float = 0.0  # the endpoint asked for it
    flying: dict[str, Pending] = field(default_factory=dict)
    finished: int = 0
    _waiting: dict[str, Pending] = field(default_factory=dict)
    _due: list[tuple[float, int, str]] = field(default_factory=list)  # heap: when, offset, id

    @property
    def backlog(self) -> int:
        """Decisions in memory."""
        return len(self._waiting) + len(self.flying)

    @property
    def has_room(self) -> bool:
        """Whether half of it is free, so that it is worth reading on."""
        return self.backlog <= self.capacity // 2

    def offer(self, pending: Pending) -> bool:
        """Take a decision; False where it was left in Kafka.

        One that is known is not taken again, but it may have lost an identifier that was erased.
        """
        id_ = pending.decision.decision_id
        known = self._waiting.get(id_) or self.flying.get(id_)
        if known is not None:
            known.decision = pending.decision
            return True
        if self.backlog >= self.capacity:
            left_at = pending.offset if self.left_at is None else self.left_at
            self.left_at = min(pending.offset, left_at)
            return False
        self._push(pending, 0.0)
        return True

    def read(self, position: int, end: int | None) -> None:
        """Take how far the topic was read, and its end, up to which it is read before a start."""
        if math.isinf(self.start_at) and end is not None:
            self.start_at = end
        if position >= self.start_at:
            self.start_at = 0

    def read_again(self, position: int) -> int | None:
        """Where to read on from, having read to `position`; None where nothing is left, or no room.

        Until that is read again, nothing of it starts.
        """
        if self.left_at is None or not self.has_room or self.start_at:
            return None
        left_at, self.left_at, self.start_at = self.left_at, None, position
        return left_at

    def start(self, now: float) -> Pending | None:
        """The decision to try now, under way from here on; None where none may be."""
        if self.pause(now) != 0.0:
            return None
        _, _, id_ = heappop(self._due)
        pending = self.flying[id_] = self._waiting.pop(id_)
        self.breaker.begin()
        return pending

    def pause(self, now: float) -> float | None:
        """Seconds until a decision may start; None where something else has to happen first."""
        while self._due and self._due[0][2] not in self._waiting:
            heappop(self._due)
        if self.start_at or len(self.flying) >= self.concurrency or not self._due:
            return None
        allowed = self.breaker.wait(now)
        if allowed is None:
            return None
        return max(0.0, allowed, self.rests_until - now, self._due[0][0] - now)

    def again(self, pending: Pending, due: float) -> None:
        """Put back a decision that is to be tried again."""
        self._push(self.flying.pop(pending.decision.decision_id), due)

    def finish(self, pending: Pending) -> None:
        """Let go of a decision that nothing follows on."""
        del self.flying[pending.decision.decision_id]
        self.finished += 1

    def take_expired(self, now_ms: int) -> list[Pending]:
        """Take the decisions out of those waiting that may not be sent any more, as under way."""
        found = [one for one in self._waiting.values() if one.expires_ms <= now_ms]
        for one in found:
            id_ = one.decision.decision_id
            self.flying[id_] = self._waiting.pop(id_)
        return found

    def erase(self, id_: str) -> bool:
        """Drop a decision; True where it is under way, and its end is to be forgotten."""
        self._waiting.pop(id_, None)
        if id_ in self.flying:
            self.flying[id_].erased = True
        return id_ in self.flying

    def clear(self) -> None:
        """Forget everything: its partition has another owner."""
        self._waiting.clear()
        self._due.clear()
        self.flying.clear()
        self.left_at, self.start_at = None, math.inf

    def first_offset(self) -> float:
        """The first offset that is not done; infinite where all are."""
        left = math.inf if self.left_at is None else self.left_at
        held = (one.offset for held in (self._waiting, self.flying) for one in held.values())
        return min(left, min(held, default=math.inf))

    def _push(self, pending: Pending, due: float) -> None:
        id_ = pending.decision.decision_id
        self._waiting[id_] = pending
        if len(self._due) > 2 * self.capacity:  # entries of those that were dropped
            self._due = [one for one in self._due if one[2] in self._waiting and one[2] != id_]
            heapify(self._due)
        heappush(self._due, (due, pending.offset, id_))
