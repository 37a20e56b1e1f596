"""How far the consumer groups are, watched from the broker; and when a fault is made good."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from schemas.settings import Settings
from streams.cluster import READERS
from tests.faults.pipeline import PRODUCER

_EVERY: Final = 0.4  # seconds
_TIMEOUT_MS: Final = 3_000
Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True)
class Snapshot:
    """Next offsets of every partition, and what each group has committed. `began`: monotonic."""

    began: float
    ends: Offsets
    committed: Mapping[str, Offsets]

    def has_passed(self, group: str, marks: Offsets) -> bool:
        """Whether a group has committed everything before the marks, of what it reads."""
        done = self.committed[group]
        return all(done.get(tp, 0) >= marks[tp] for tp in marks if tp.topic in _READ[group])

    def lag(self, group: str) -> int:
        """Records that a group has not committed."""
        done = self.committed[group]
        return sum(
            end - done.get(tp, 0) for tp, end in self.ends.items() if tp.topic in _READ[group]
        )


_READ: Final = {group: {topic.name for topic in read} for group, read in READERS.items()}


class Progress:
    """A thread that looks at the broker, through its restarts. `latest` is its last look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.latest = Snapshot(0.0, {}, {group: {} for group in READERS})
        self.most_behind = dict.fromkeys(READERS, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with _clients(self._settings) as (admin, consumer):
                    while not self._stop.wait(_EVERY):
                        self._look(admin, consumer)
            except (KafkaError, OSError, AssertionError, ValueError):
                self._stop.wait(_EVERY)

    def _look(self, admin: Any, consumer: Any) -> None:
        began = time.monotonic()
        committed = {
            group: {
                tp: found.offset for tp, found in admin.list_group_offsets(group)[group].items()
            }
            for group in READERS
        }
        tps = [
            TopicPartition(topic, partition)
            for topic in set().union(*_READ.values())
            for partition in consumer.partitions_for_topic(topic) or ()
        ]
        ends = consumer.end_offsets(tps)
        self.latest = Snapshot(began, ends, committed)
        for group in READERS:
            self.most_behind[group] = max(self.most_behind[group], self.latest.lag(group))


@contextmanager
def _clients(settings: Settings) -> Iterator[tuple[Any, Any]]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "request_timeout_ms": _TIMEOUT_MS,
        "reconnect_backoff_ms": 100,
        "reconnect_backoff_max_ms": 500,
        "bootstrap_timeout_ms": _TIMEOUT_MS,
    }
    with ExitStack() as stack:
        admin = KafkaAdminClient(**options)
        stack.callback(admin.close)
        consumer = KafkaConsumer(**options)
        stack.callback(consumer.close)
        yield admin, consumer


@dataclass
class Recovery:
    """A fault on its way to being made good.

    It is once the groups it touched have committed all that stood in their topics `SETTLING`
    seconds after the fault was over: what came in while it lasted, and after. Where it touched
    the producer, more than it had sent by then must be acknowledged.
    """

    kind: str
    injected: float
    groups: tuple[str, ...]
    parts: tuple[str, ...] = ()
    healed: float = 0.0  # 0: it lasts
    recovered: float = 0.0
    marks: Offsets = field(default_factory=dict)
    acknowledged: int = 0

    def look(self, seen: Snapshot, acknowledged: int, whole: int) -> None:
        """Take note of a snapshot; sets `recovered`, by the monotonic clock.

        `acknowledged` of the `whole` stream are with the broker.
        """
        if not self.healed or self.recovered:
            return
        if not self.marks:
            if seen.began >= self.healed + SETTLING:
                self.marks, self.acknowledged = seen.ends, acknowledged
            return
        sends = (
            PRODUCER not in self.groups
            or self.acknowledged < acknowledged
            or (acknowledged == whole)
        )
        readers = [group for group in self.groups if group != PRODUCER]
        if sends and all(seen.has_passed(group, self.marks) for group in readers):
            self.recovered = time.monotonic()


SETTLING: Final = 1.0
