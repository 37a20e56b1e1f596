"""One partition of a changelog as a map from key to newest value, in memory or on disk.

Next to the values stands a checkpoint, written with them at once: how much of the changelog they
hold. Whatever comes after it is read again from the changelog, which stays the truth.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    DbClosedError,
    Options,
    Rdict,
    WriteBatch,
)

Changes = Mapping[bytes, bytes | None]  # key -> value, None where it is gone

_CHECKPOINT: Final = b""  # a key that no record has
_FIRST_KEY: Final = b"\0"
_PAGE: Final = 1_000  # keys read before an iterator is given up: an open one keeps the lock
_CACHE: Final = Cache(64 * 1024 * 1024)  # of blocks read, shared by the process's stores
_WRITE_BUFFER: Final = 8 * 1024 * 1024
DUE: Final = "scrub.due"  # a file whose time says when to scrub, also after a restart
SCRUB_SECONDS: Final = 86_400.0  # what was replaced is off the disk after so long


class Released(Exception):
    """The store is closed: its partition has, or may have, another owner."""


class StoreFailed(Exception):
    """The disk does not do its work; names the folder. What is corrupt is removed before."""


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a store has read its changelog.

    `incarnation` tells the topic from one of the same name; `stale` are keys whose last record in
    the changelog is not the one kept and has yet to be sent again.
    """

    offset: int  # the next to read
    incarnation: str = ""
    at_ms: int = 0  # when it was up to date
    stale: list[str] = []


class Store(Protocol):
    """Every method but `close` raises Released once it is closed."""

    checkpoint: Checkpoint | None
    closed: bool
    lasting: bool  # whether it outlives the process
    scrub_due: float  # when to scrub, epoch seconds; infinite where nothing outlives the process

    def get(self, key: bytes) -> bytes | None:
        """The key's value."""

    def under(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Keys that begin with `prefix` and a NUL, with their values."""

    def prefixes(self) -> Iterator[bytes]:
        """What stands before a NUL in any key, each once; the store may change meanwhile."""

    def keys(self) -> Iterable[bytes]:
        """Every key; the store may not change meanwhile."""

    def values(self) -> Iterable[bytes]:
        """Every value; the store may not change meanwhile."""

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        """Take the changes and the checkpoint, all or nothing."""

    def clear(self) -> None:
        """Forget everything."""

    def scrub_soon(self) -> None:
        """Have it scrubbed at the next opportunity; a deletion does that by itself."""

    def scrub(self) -> None:
        """Leave nothing on the disk of what was deleted or replaced before; from any thread."""

    def close(self) -> None:
        """Let go of it; may be called again."""

    def __len__(self) -> int:
        """Keys; an estimate where counting would take long."""


class MemoryStore:
    """A store that is gone with its process."""

    lasting = False
    scrub_due = math.inf

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None
        self.closed = False
        self._values: dict[bytes, bytes] = {}
        self._under: dict[bytes, dict[bytes, None]] = {}

    def get(self, key: bytes) -> bytes | None:
        self._check()
        return self._values.get(key)

    def under(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        self._check()
        return [(key, self._values[key]) for key in self._under.get(prefix, ())]

    def prefixes(self) -> Iterator[bytes]:
        self._check()
        return iter(list(self._under))

    def keys(self) -> Iterator[bytes]:
        self._check()
        return iter(self._values)

    def values(self) -> Iterator[bytes]:
        self._check()
        return iter(self._values.values())

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        self._check()
        for key, value in changes.items():
            prefix, nul, _ = key.partition(b"\0")
            if value is not None:
                self._values[key] = value
                if nul:
                    self._under.setdefault(prefix, {})[key] = None
            elif self._values.pop(key, None) is not None and nul:
                del self._under[prefix][key]
                if not self._under[prefix]:
                    del self._under[prefix]
        self.checkpoint = checkpoint

    def clear(self) -> None:
        self._check()
        self._values.clear()
        self._under.clear()
        self.checkpoint = None

    def scrub_soon(self) -> None:
        """Nothing: what is gone from memory is gone."""

    def scrub(self) -> None:
        """Nothing."""

    def close(self) -> None:
        self.closed = True
        self._values, self._under = {}, {}

    def __len__(self) -> int:
        return len(self._values)

    def _check(self) -> None:
        if self.closed:
            raise Released


class DiskStore:
    """A store in a folder of its own, in RocksDB; opening raises StoreFailed.

    A write survives the end of the process, not that of the machine: then the last seconds may
    be gone, values and checkpoint alike.

    RocksDB leaves what is deleted or replaced in its files until it happens to compact them, and
    keys in its manifest. Scrubbing is a compaction of everything: soon after a deletion, and once
    a day for what was replaced.
    """

    lasting = True

    def __init__(self, folder: Path) -> None:
        self.closed = False
        self._folder = folder
        self._scrubbing = threading.Lock()
        self._changing = threading.Lock()
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._database: Any = None
        try:
            self._database = Rdict(str(self._folder), _options())
            found = self._database.get(_CHECKPOINT)
            self.checkpoint: Checkpoint | None = (
                None if found is None else msgspec.json.decode(found, type=Checkpoint)
            )
            try:
                self.scrub_due = (self._folder / DUE).stat().st_mtime
            except FileNotFoundError:
                self._set_due(time.time() + SCRUB_SECONDS)
        except Exception as error:
            self._close_quietly()
            raise StoreFailed(f"state in {self._folder}: {error}") from error

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._database.get(key)
        except Exception as error:
            raise self._failure(error) from error
        return value

    def under(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return list(self._page(prefix + b"\0", prefix + b"\1", most=None))

    def prefixes(self) -> Iterator[bytes]:
        position = _FIRST_KEY
        while page := self._next_prefixes(position):
            yield from page
            position = page[-1] + b"\1"

    def keys(self) -> Iterator[bytes]:
        return (key for key, _ in self._items())

    def values(self) -> Iterator[bytes]:
        return (value for _, value in self._items())

    def _items(self) -> Iterator[tuple[bytes, bytes]]:
        position = _FIRST_KEY
        while page := self._page(position, None, _PAGE):
            yield from page
            position = page[-1][0] + b"\0"

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        if None in changes.values():
            self.scrub_soon()
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_CHECKPOINT, msgspec.json.encode(checkpoint))
        with self._changing:
            try:
                self._database.write(batch)
            except Exception as error:
                raise self._failure(error) from error
            self.checkpoint = checkpoint

    def clear(self) -> None:
        if self.closed:
            raise Released
        self._close_quietly()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._open()

    def scrub_soon(self) -> None:
        with self._changing:
            now = time.time()
            if self.scrub_due > now:
                self._set_due(now)
            else:
                self.scrub_due = now  # other than what a scrub under way has seen

    def scrub(self) -> None:
        with self._scrubbing:
            due = self.scrub_due
            try:
                self._database.flush()
                self._database.compact_range(None, None, _everything())
                # The manifest names the files that were, with their keys, until the next change.
                with self._changing:
                    self._database.put(_CHECKPOINT, msgspec.json.encode(self.checkpoint))
                self._database.flush()
            except Exception as error:
                raise self._failure(error) from error
            with self._changing:
                if self.closed:
                    raise Released
                if self.scrub_due == due:  # nothing was deleted meanwhile
                    self._set_due(time.time() + SCRUB_SECONDS)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._close_quietly()

    def __len__(self) -> int:
        found = self._database.property_int_value("rocksdb.estimate-num-keys") or 0
        return max(0, int(found) - (self.checkpoint is not None))

    def _page(
        self, start: bytes, stop: bytes | None, most: int | None
    ) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        try:
            cursor = self._database.iter()
            cursor.seek(start)
            while cursor.valid() and (most is None or len(found) < most):
                key = cursor.key()
                if stop is not None and key >= stop:
                    break
                found.append((key, cursor.value()))
                cursor.next()
            cursor.status()
        except Exception as error:
            raise self._failure(error) from error
        return found

    def _next_prefixes(self, start: bytes) -> list[bytes]:
        found: list[bytes] = []
        try:
            cursor = self._database.iter()
            cursor.seek(start)
            while cursor.valid() and len(found) < _PAGE:
                prefix = cursor.key().partition(b"\0")[0]
                found.append(prefix)
                cursor.seek(prefix + b"\1")
            cursor.status()
        except Exception as error:
            raise self._failure(error) from error
        return found

    def _failure(self, error: Exception) -> Exception:
        if self.closed or isinstance(error, DbClosedError):
            return Released()
        if str(error).startswith("Corruption"):
            self.close()
            shutil.rmtree(self._folder, ignore_errors=True)
        return StoreFailed(f"state in {self._folder}: {error} (JOURNEY_STATE)")

    def _set_due(self, at: float) -> None:
        self.scrub_due = at
        mark = self._folder / DUE
        mark.touch()
        os.utime(mark, (at, at))

    def _close_quietly(self) -> None:
        database = self._database
        if database is None:
            return
        if self._scrubbing.locked():
            database.cancel_all_background(True)
        with self._scrubbing, suppress(Exception):  # what is not flushed is in the log of writes
            database.close()
        self._database = None


def _everything() -> CompactOptions:
    options = CompactOptions()
    options.set_bottommost_level_compaction(BottommostLevelCompaction.force())
    return options


def _options() -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_CACHE)
    blocks.set_bloom_filter(10, False)  # most keys looked up during a rebuild are not there
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(_WRITE_BUFFER)
    options.set_keep_log_file_num(1)
    options.set_log_file_time_to_roll(round(SCRUB_SECONDS))
    options.set_max_manifest_file_size(1)  # a manifest for each change, without past keys
    options.set_max_open_files(256)
    return options
