"""The faults: what each does, how often it is drawn, how long it lasts."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from streams.cluster import SINK as SINK_GROUP
from streams.cluster import WORKERS as WORKER_GROUP
from tests.faults.pipeline import BROKER, CLICKHOUSE, PRODUCER, SINK, SPARE, WORKERS, Pipeline

Undo = Callable[[], None]
BOTH: Final = (WORKER_GROUP, SINK_GROUP)


@dataclass(frozen=True)
class Fault:
    """A kind of fault. `inject` gets the parts it may break and returns how to undo it."""

    kind: str
    weight: int
    inject: Callable[[Pipeline, tuple[str, ...], Random], Undo]
    targets: tuple[str, ...]  # one of them is drawn; with `all_at_once` it is all
    groups: tuple[str, ...]
    lasts: tuple[float, float] = (0.0, 0.0)  # seconds, from and to
    all_at_once: bool = False
    needs_links: bool = False


def _nothing() -> None:
    return


def _kill(pipeline: Pipeline, parts: tuple[str, ...], _chance: Random) -> Undo:
    """kill -9; the supervisor starts it again."""
    for part in parts:
        pipeline.signal(part, signal.SIGKILL)
    return _nothing


def _kill_and_hold(pipeline: Pipeline, parts: tuple[str, ...], _chance: Random) -> Undo:
    return _down(pipeline, parts[0], signal.SIGKILL)


def _stop_and_hold(pipeline: Pipeline, parts: tuple[str, ...], _chance: Random) -> Undo:
    return _down(pipeline, parts[0], signal.SIGTERM)


def _down(pipeline: Pipeline, part: str, number: signal.Signals) -> Undo:
    pipeline.hold(part, number)

    def undo() -> None:
        pipeline.wait_for_end(part, 20)
        pipeline.launch(part)

    return undo


def _lose_disk(pipeline: Pipeline, parts: tuple[str, ...], _chance: Random) -> Undo:
    """kill -9, and what the worker kept on disk is gone when it comes back."""
    undo = _down(pipeline, parts[0], signal.SIGKILL)
    pipeline.wait_for_end(parts[0], 5)
    pipeline.lose_disk(parts[0])
    return undo


def _pause(pipeline: Pipeline, parts: tuple[str, ...], _chance: Random) -> Undo:
    """SIGSTOP: it wakes up believing that nothing happened."""
    pipeline.signal(parts[0], signal.SIGSTOP)
    return lambda: pipeline.signal(parts[0], signal.SIGCONT)


def _cut(pipeline: Pipeline, parts: tuple[str, ...], chance: Random) -> Undo:
    pipeline.network.cut(parts[0], silently=chance.random() < 0.5)
    return lambda: pipeline.network.mend(parts[0])


def _throttle(pipeline: Pipeline, parts: tuple[str, ...], _chance: Random) -> Undo:
    pipeline.network.throttle(parts[0])
    return lambda: pipeline.network.mend(parts[0])


def _scale(pipeline: Pipeline, parts: tuple[str, ...], chance: Random) -> Undo:
    """A worker more, which takes some seconds to join; or it goes again: told to, or killed."""
    spare = parts[0]
    if not pipeline.is_up(spare):
        pipeline.launch(spare)
        return _nothing
    pipeline.hold(spare, signal.SIGTERM if chance.random() < 0.5 else signal.SIGKILL)
    return lambda: pipeline.wait_for_end(spare, 20)


_W: Final = (WORKER_GROUP,)
_S: Final = (SINK_GROUP,)
_P: Final = (PRODUCER,)
FAULTS: Final = (
    Fault("kill worker", 12, _kill, WORKERS, _W),
    Fault("kill both workers", 4, _kill, WORKERS, _W, all_at_once=True),
    Fault("kill sink", 8, _kill, (SINK,), _S),
    Fault("kill worker and sink", 5, _kill, (WORKERS[0], SINK), BOTH, all_at_once=True),
    Fault("kill worker, lose its disk", 5, _lose_disk, WORKERS, _W, (0.5, 3.0)),
    Fault("stop worker, then go on", 8, _pause, WORKERS, _W, (8.0, 15.0)),
    Fault("stop sink, then go on", 4, _pause, (SINK,), _S, (8.0, 15.0)),
    Fault("add or remove worker", 12, _scale, (SPARE,), _W, (4.0, 6.0)),
    Fault("kill broker", 5, _kill_and_hold, (BROKER,), BOTH, (0.5, 4.0)),
    Fault("restart broker", 4, _stop_and_hold, (BROKER,), BOTH, (0.5, 4.0)),
    Fault("kill ClickHouse", 7, _kill_and_hold, (CLICKHOUSE,), _S, (0.5, 5.0)),
    Fault("ClickHouse hangs", 5, _pause, (CLICKHOUSE,), _S, (5.0, 15.0)),
    Fault("kill producer", 4, _kill, _P, _P),
    Fault("cut off worker", 7, _cut, WORKERS, _W, (5.0, 15.0), needs_links=True),
    Fault("cut off sink", 4, _cut, (SINK,), _S, (5.0, 15.0), needs_links=True),
    Fault("cut off ClickHouse", 4, _cut, (CLICKHOUSE,), _S, (5.0, 15.0), needs_links=True),
    Fault("cut off producer", 2, _cut, _P, _P, (5.0, 15.0), needs_links=True),
    Fault("slow link of worker", 3, _throttle, WORKERS, _W, (5.0, 12.0), needs_links=True),
    Fault("slow link of sink", 2, _throttle, (SINK,), _S, (5.0, 12.0), needs_links=True),
)  # fmt: skip


def planned(
    count: int, seed: int, gap: tuple[float, float], kinds: tuple[Fault, ...]
) -> list[tuple[float, Fault, float]]:
    """When each fault comes (seconds into the run), which it is, and how long it lasts.

    Every kind comes at least once where there is room for all.
    """
    chance = Random(seed)
    drawn = list(kinds) if count >= len(kinds) else []
    drawn += chance.choices(kinds, [fault.weight for fault in kinds], k=count - len(drawn))
    chance.shuffle(drawn)
    plan, at = [], 0.0
    for fault in drawn:
        at += chance.uniform(*gap)
        plan.append((at, fault, chance.uniform(*fault.lasts)))
    return plan
