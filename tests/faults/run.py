"""The run: touchpoints flow while faults are injected, until everything sent has been read."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from streams.cluster import READERS
from tests.faults.injections import Fault, Undo
from tests.faults.pipeline import PRODUCER, SPARE, WORKERS, Pipeline
from tests.faults.producer import acknowledged
from tests.faults.progress import Progress, Recovery

_TICK: Final = 0.05
_MOST_AT_ONCE: Final = 2
# Workers put right every minute what one that did not know that it had lost a partition wrote.
_AUDITED_SECONDS: Final = 70.0
Report = Callable[[str], None]


class Stuck(Exception):
    """The pipeline did not come to rest in time; the message says what is unread."""


@dataclass
class _Active:
    """A fault that lasts, or a part that is coming back."""

    recovery: Recovery
    parts: tuple[str, ...]
    until: float
    undo: Undo


@dataclass
class Run:
    """Injects a plan into a pipeline. `recoveries` has every fault injected, in order."""

    pipeline: Pipeline
    progress: Progress
    touchpoints: int
    chance: Random
    report: Report
    recoveries: list[Recovery] = field(default_factory=list)
    _active: list[_Active] = field(default_factory=list)
    _told: float = 0.0

    def inject(self, plan: list[tuple[float, Fault, float]]) -> None:
        """Produce, and break things by the plan; returns once the last fault is over."""
        self.pipeline.produce()
        began = time.monotonic()
        waiting = deque(plan)
        while waiting or self._active:
            now = time.monotonic()
            if waiting and now - began >= waiting[0][0] and len(self._active) < _MOST_AT_ONCE:
                _, fault, lasts = waiting.popleft()
                if not self._begin(fault, lasts, now):
                    waiting.append((now - began + 1.0, fault, lasts))
                    waiting = deque(sorted(waiting, key=lambda planned: planned[0]))
            self._tick(len(plan))

    def settle(self, patience: float) -> None:
        """Wait until all is sent, read and audited; end the workers; let the sink write the rest.

        Raises Stuck where `patience` seconds pass without a record read.
        """
        audited = time.monotonic() + _AUDITED_SECONDS
        self._until(lambda: not self.pipeline.is_up(PRODUCER) and self._is_read(), patience)
        while time.monotonic() < audited:
            self._tick(len(self.recoveries))
        self._until(self._is_read, patience)
        for name in (*WORKERS, SPARE):
            if self.pipeline.is_up(name):
                self.pipeline.hold(name, signal.SIGTERM)
                self.pipeline.wait_for_end(name, 30)
        self._until(self._is_read, patience)
        self._tick(len(self.recoveries))

    def _until(self, true: Callable[[], bool], patience: float) -> None:
        best, moved = None, time.monotonic()
        while not true():
            self._tick(len(self.recoveries))
            unread = self._unread()
            state = (acknowledged(self.pipeline.acknowledged), *unread.values())
            if state != best:
                best, moved = state, time.monotonic()
            if time.monotonic() - moved > patience:
                raise Stuck(f"nothing was read for {patience:.0f} s; unread: {unread}")

    def _unread(self) -> dict[str, int]:
        return {group: self.progress.latest.lag(group) for group in READERS}

    def _is_read(self) -> bool:
        """Whether nothing is unread in two looks, both from after this call."""
        for _ in range(2):
            asked = time.monotonic()
            while self.progress.latest.began < asked:
                time.sleep(_TICK)
                self.pipeline.watch()
            if any(self._unread().values()):
                return False
        return True

    def _begin(self, fault: Fault, lasts: float, now: float) -> bool:
        busy = {part for active in self._active for part in active.parts}
        free = [p for p in fault.targets if p not in busy and (self._is_well(p) or p == SPARE)]
        if not free or (fault.all_at_once and len(free) < len(fault.targets)):
            return False
        parts = tuple(free) if fault.all_at_once else (self.chance.choice(free),)
        undo = fault.inject(self.pipeline, parts, self.chance)
        recovery = Recovery(fault.kind, now, fault.groups, parts)
        self.recoveries.append(recovery)
        self._active.append(_Active(recovery, parts, now + lasts, undo))
        return True

    def _is_well(self, part: str) -> bool:
        return self.pipeline.is_up(part) and part not in self.pipeline.held

    def _tick(self, planned: int) -> None:
        now = time.monotonic()
        for active in [a for a in self._active if now >= a.until]:
            active.undo()
            active.recovery.healed = time.monotonic()
            self._active.remove(active)
        seen, sent = self.progress.latest, acknowledged(self.pipeline.acknowledged)
        for recovery in self.recoveries:
            if all(self.pipeline.is_up(part) or part == SPARE for part in recovery.parts):
                recovery.look(seen, sent, self.touchpoints)
        self.pipeline.watch()
        if now - self._told >= 5:
            self._told = now
            lasting = ", ".join(active.recovery.kind for active in self._active)
            open_ = sum(not recovery.recovered for recovery in self.recoveries)
            self.report(
                f"{sent:,} of {self.touchpoints:,} sent, "
                f"{len(self.recoveries)} of {planned} faults, {open_} not made good, unread "
                f"{'/'.join(f'{n:,}' for n in self._unread().values())}"
                + (f" · {lasting}" if lasting else "")
            )
        time.sleep(_TICK)
