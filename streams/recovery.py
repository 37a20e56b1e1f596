"""A partition's state found again: its store if that fits the topic, then the changelog's tail."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Final

from streams import metrics
from streams.changelog import Changelog, Connect, Deliver, Merge, end_of, replay
from streams.cluster import Incarnation
from streams.store import DUE, Checkpoint, DiskStore, MemoryStore, Released, Store, StoreFailed

log = logging.getLogger("journey.recovery")

FOREIGN: Final = "of another cluster or an earlier topic of the name"
AHEAD: Final = "further than the changelog goes"
OLD: Final = "too old: deletions since may be gone from the changelog"
CORRUPT: Final = "corrupt"
# why a store cannot be used -> label of the metric
UNFIT: Final = {FOREIGN: "foreign", AHEAD: "ahead", OLD: "old", CORRUPT: "corrupt"}
_UNKNOWN: Final = Incarnation("", 3_600_000)
_LOCK: Final = "lock"
# Pause between scrubs: seconds at least, and so many times what the last ones took.
_SCRUB_PAUSE: Final = 5.0
_SCRUB_SHARE: Final = 20


class StateInUse(Exception):
    """The folder of state is another worker's; one line that names the setting."""


class Recovery:
    """The stores of a worker. A partition has one holder at a time: its owner, or the standby."""

    def __init__(self, folder: Path | None, connect: Connect, deliver: Deliver) -> None:
        self._folder = folder
        self._connect, self._deliver = connect, deliver
        self._held: dict[tuple[str, int], Store] = {}
        self._owned: set[tuple[str, int]] = set()
        self._lock: IO[str] | None = None
        self.incarnations: Mapping[str, Incarnation] = {}

    def start(self) -> None:
        """Take the folder for this process; raises StateInUse."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / _LOCK).open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateInUse(
                f"state in {self._folder} is another worker's: give each its own (JOURNEY_STATE)"
            ) from error

    def stop(self) -> None:
        """Close every store and give the folder back."""
        for store in self._held.values():
            store.close()
        if self._lock is not None:
            self._lock.close()

    async def scrub(self) -> None:
        """Scrub stores when they are due, and remove folders of no use any more, until cancelled.

        One that nobody here has opened for as long as records are surely kept would be read anew.
        """
        while True:
            began = time.monotonic()
            for store in list(self._held.values()):
                if not store.closed and store.scrub_due <= time.time():
                    try:
                        await asyncio.to_thread(store.scrub)
                    except Released:
                        continue
                    except StoreFailed as error:
                        log.warning("not scrubbed yet: %s", error)
            self.remove_abandoned(time.time())
            took = time.monotonic() - began
            await asyncio.sleep(max(_SCRUB_PAUSE, took * _SCRUB_SHARE))

    def remove_abandoned(self, now: float) -> None:
        """Remove the folders of partitions that nobody here has held for too long to go on."""
        if self._folder is None:
            return
        open_ = {f"{t}-{p}" for (t, p), store in self._held.items() if not store.closed}
        for folder in self._folder.iterdir():
            if not folder.is_dir() or folder.name in open_:
                continue
            topic = folder.name.rpartition("-")[0]
            kept = self.incarnations.get(topic, _UNKNOWN).kept_ms / 1000
            changed = (file.stat().st_mtime for file in folder.iterdir() if file.name != DUE)
            if max(changed, default=now) + kept < now:
                log.info("state in %s is nobody's since long: removed", folder)
                shutil.rmtree(folder, ignore_errors=True)

    async def recover(
        self, topic: str, partition: int, merge: Merge, before: int | None = None
    ) -> Changelog:
        """The changelog of a partition that we own, up to its end, or before an offset.

        What is stale in the topic is not sent again yet.
        """
        started = time.monotonic()
        store = self.claim(topic, partition)
        if store.checkpoint is not None:
            self.check(store, topic, partition, await end_of(self._connect, topic, partition))
        found = len(store)
        changelog = self.mirror(store, topic, partition, merge)
        metrics.RECOVERED.labels(topic, "disk").inc(found)
        replayed = 0
        try:
            async for records, position in replay(
                self._connect, topic, partition, changelog.end, before
            ):
                changelog.learn(records, position)
                replayed += len(records)
                metrics.RECOVERED.labels(topic, "changelog").inc(len(records))
        except BaseException:
            changelog.close()
            raise
        seconds = time.monotonic() - started
        metrics.RECOVERY_SECONDS.labels(topic).observe(seconds)
        log.info(
            "%s %d recovered in %.2f s: %s keys from the store, %s records from the changelog",
            *(topic, partition, seconds, found, replayed),
        )
        return changelog

    def claim(self, topic: str, partition: int) -> Store:
        """The store of a partition for its owner; whoever held it in this process loses it."""
        self._owned.add((topic, partition))
        return self._claim(topic, partition)

    def spare(self, topic: str, partition: int) -> Store | None:
        """The store of a partition for the standby; None where its owner is in this process."""
        held = self._held.get((topic, partition))
        if held is not None and not held.closed and (topic, partition) in self._owned:
            return None
        self._owned.discard((topic, partition))
        return self._claim(topic, partition)

    def mirror(self, store: Store, topic: str, partition: int, merge: Merge) -> Changelog:
        """A store as the changelog of a partition."""
        read = partial(replay, self._connect, topic, partition)
        incarnation = self.incarnations.get(topic, _UNKNOWN).id
        return Changelog(topic, partition, store, merge, read, self._deliver, incarnation)

    def check(self, store: Store, topic: str, partition: int, end: int) -> None:
        """Empty a store that cannot be used for a topic that ends at `end`, and say so."""
        if store.checkpoint is not None:
            why = self._unfit(topic, store.checkpoint, end)
            if why is not None:
                self._rebuilding(topic, partition, why)
                store.clear()

    def _unfit(self, topic: str, checkpoint: Checkpoint, end: int) -> str | None:
        incarnation = self.incarnations.get(topic, _UNKNOWN)
        now_ms = time.time_ns() // 1_000_000
        if checkpoint.incarnation != incarnation.id:
            return FOREIGN
        if checkpoint.offset > end:
            return AHEAD
        return OLD if now_ms - checkpoint.at_ms > incarnation.kept_ms else None

    def _claim(self, topic: str, partition: int) -> Store:
        held = self._held.get((topic, partition))
        if held is not None:
            held.close()
        store = self._held[topic, partition] = self._open(topic, partition)
        return store

    def _open(self, topic: str, partition: int) -> Store:
        if self._folder is None:
            return MemoryStore()
        folder = self._folder / f"{topic}-{partition}"
        try:
            return DiskStore(folder)
        except StoreFailed as error:
            log.warning("%s", error)
            self._rebuilding(topic, partition, CORRUPT)
            shutil.rmtree(folder, ignore_errors=True)
            return DiskStore(folder)

    def _rebuilding(self, topic: str, partition: int, why: str) -> None:
        log.warning("state of %s %d is %s: read anew from the changelog", topic, partition, why)
        metrics.STORES_REBUILT.labels(topic, UNFIT[why]).inc()
