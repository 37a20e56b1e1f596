"""Touchpoints to Kafka: identifiers hashed at the edge, every delivery accounted for."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError
from kafka.partitioner import DefaultPartitioner
from kafka.partitioner.default import murmur2

from schemas.settings import PREFIX, Settings
from schemas.topics import TOUCHPOINTS
from streams import metrics
from streams.core.identifiers import PRECEDENCE, anchor_of, normalise
from streams.security import client_options, why_unreachable

MAX_PENDING_BYTES: Final = 32 * 1024 * 1024
_BOOTSTRAP_MS: Final = 5_000
_LINGER_MS: Final = 50
_BATCH_BYTES: Final = 256 * 1024
_RECORD_OVERHEAD: Final = 1024  # a pending record's futures in this process, roughly
_SETTLE_EVERY: Final = 512
_BLOCK_MS: Final = 30_000  # for a topic to be found
_SILENCE_MS: Final = 10_000  # of a connection, before it is given up for another
_SAMPLE_EVERY: Final = 0.1  # seconds between two records whose delivery is timed
_UNREMARKABLE: Final = 2.0  # seconds to wait for a delivery

# What the client logs reaches the caller as PublishError; without a handler it would be printed.
logging.getLogger("kafka").addHandler(logging.NullHandler())

_CANONICAL_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encode: Final = msgspec.json.Encoder().encode


class PublishError(Exception):
    """Records were not delivered; the message has how many, the first cause and the fix."""


def prepare(
    touchpoint: dict[str, Any], key: bytes, region: str, own: frozenset[str] = frozenset()
) -> tuple[str, bytes]:
    """A touchpoint as (anchor, wire JSON), its identifiers normalised, e-mails and phones hashed.

    `key`, `region` and `own` as in `normalise`; the workers must have the same, as the anchor
    picks the partition. The dict is left as it is. Identifiers that are not well-formed stay for
    the contract to reject; where none is well-formed the anchor is empty. Raises TypeError for a
    value JSON has no form for.
    """
    given = touchpoint.get("identifiers")
    if not isinstance(given, list | tuple):
        return "", _encode(touchpoint)
    wire: list[object] = []
    seen: list[str] = []
    for item in given:
        kind, value = _parts(item)
        known = isinstance(kind, str) and kind in PRECEDENCE
        # A blank stays, to be rejected rather than denied.
        if known and isinstance(value, str) and value.strip():
            identifier = normalise(kind, value, key, region, own)
            seen.append(identifier)
            wire.append({**item, "value": identifier[len(kind) + 1 :]})
        else:
            wire.append(item)
    encoded = _encode({**touchpoint, "identifiers": wire})
    return (anchor_of(seen, _plain_id(touchpoint)) if seen else ""), encoded


def _parts(item: object) -> tuple[Any, Any]:
    return (item.get("kind"), item.get("value")) if isinstance(item, dict) else (None, None)


def _plain_id(touchpoint: dict[str, Any]) -> str:
    """The event id as the workers write it, who read any spelling of a UUID."""
    given = touchpoint.get("event_id")
    if not isinstance(given, str):
        return ""
    if _CANONICAL_ID.fullmatch(given):
        return given
    try:
        return str(UUID(given))
    except ValueError:
        return given


class Publisher:
    """Idempotent, acknowledged-by-all producer with bounded memory. One thread uses it.

    `timeout` (seconds) bounds connecting and each delivery: an outage of the broker may last so
    long. `waiting` is called with the seconds that a delivery has been waited for, every second
    after the first two. As a context manager it flushes on a clean exit. Raises PublishError when
    no broker answers.
    """

    def __init__(
        self,
        settings: Settings,
        timeout: float = 30.0,
        waiting: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.sent = 0
        self.failed = 0
        self._kafka = settings.kafka
        self._timeout = timeout
        self._waiting = waiting
        self._first: str | None = None
        self._unreported = 0
        self._pending: deque[tuple[Any, int]] = deque()  # (future, bytes)
        self._pending_bytes = 0
        self._sample_at = 0.0
        timeout_ms = int(timeout * 1000)
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=settings.kafka.split(","),
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                max_block_ms=min(timeout_ms, _BLOCK_MS),
                bootstrap_timeout_ms=min(timeout_ms, _BOOTSTRAP_MS),
                request_timeout_ms=max(1, min(_SILENCE_MS, timeout_ms - _LINGER_MS)),
                delivery_timeout_ms=timeout_ms + _LINGER_MS,
                allow_auto_create_topics=False,
                metrics_enabled=False,
                partitioner=_RememberingPartitioner(),
                **client_options(settings),
            )
        except (KafkaTimeoutError, KafkaConnectionError):
            raise PublishError(why_unreachable(settings)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    @property
    def delivered(self) -> int:
        """Records the broker is known to have; grows as deliveries are looked at."""
        return self.sent - self.failed - len(self._pending)

    def publish(self, value: bytes | None, key: str, topic: str = TOUCHPOINTS.name) -> None:
        """Queue one record, without a value a tombstone.

        Waits only while 32 MiB are unacknowledged.

        Raises PublishError as soon as an earlier delivery is known to have failed, or where the
        topic does not exist.
        """
        try:
            future = self._producer.send(topic, value, key.encode())
        except KafkaError as error:
            raise self._unsendable(topic, error) from error
        self.sent += 1
        size = len(value or b"") + _RECORD_OVERHEAD
        self._pending.append((future, size))
        self._pending_bytes += size
        now = time.monotonic()
        if now >= self._sample_at:
            self._sample_at = now + _SAMPLE_EVERY
            metrics.PUBLISH_PENDING_BYTES.set(self._pending_bytes)
            future.add_callback(_acknowledged, now)
        if self._pending_bytes > MAX_PENDING_BYTES:
            self._settle(down_to=MAX_PENDING_BYTES // 2)
        elif self.sent % _SETTLE_EVERY == 0:
            self._settle(down_to=MAX_PENDING_BYTES)

    def flush(self) -> None:
        """Wait until every record is acknowledged; PublishError if any delivery failed."""
        with suppress(KafkaTimeoutError):  # what is still pending is counted below
            self._producer.flush(timeout=_UNREMARKABLE)
        self._settle(down_to=0)

    def close(self) -> None:
        """Stop the producer; records not flushed get one second."""
        with suppress(KafkaError):
            self._producer.close(timeout=1)

    def _settle(self, down_to: int) -> None:
        """Look at finished deliveries, oldest first; wait while more than `down_to` bytes pend."""
        settled, failed = len(self._pending), self.failed
        while self._pending:
            future, size = self._pending[0]
            if not future.is_done and self._pending_bytes <= down_to:
                break
            try:
                self._wait(future)
            except KafkaError as error:
                self.failed += 1
                self._unreported += 1
                self._first = self._first or f"{type(error).__name__}: {error}"
            self._pending.popleft()
            self._pending_bytes -= size
        failed = self.failed - failed
        metrics.PUBLISHED.inc(settled - len(self._pending) - failed)
        metrics.PUBLISH_ERRORS.inc(failed)
        metrics.PUBLISH_PENDING_BYTES.set(self._pending_bytes)
        if self._unreported:
            count, self._unreported = self._unreported, 0
            first, self._first = self._first, None
            raise PublishError(
                f"{PREFIX}KAFKA={self._kafka}: {count:,} of {self.sent:,} records were not "
                f"delivered ({first}); check that the broker runs, then send them again"
            )

    def _wait(self, future: Any) -> None:
        """Return once a delivery is acknowledged; KafkaError where it failed or takes too long."""
        began = time.monotonic()
        while not future.is_done and (waited := time.monotonic() - began) < self._timeout + 5:
            if waited > _UNREMARKABLE:
                self._waiting(waited)
            with suppress(KafkaError):  # it is not done, or its failure is raised below
                future.get(timeout=1)
        future.get(timeout=0)

    def _unsendable(self, topic: str, error: KafkaError) -> PublishError:
        if isinstance(error, KafkaTimeoutError):
            seconds = min(self._timeout, _BLOCK_MS / 1000)
            return PublishError(
                f"{PREFIX}KAFKA={self._kafka}: topic {topic} was not found within "
                f"{seconds:g} s; create it with `journey up`, or check that the broker runs"
            )
        return PublishError(f"{PREFIX}KAFKA={self._kafka}: topic {topic}: {error}")


def _acknowledged(sent: float, _landed: object) -> None:
    metrics.PUBLISH_SECONDS.observe(time.monotonic() - sent)


class _RememberingPartitioner(DefaultPartitioner):  # type: ignore[misc]
    """Kafka's own partitions; its hash is pure Python, so those of recent keys are kept."""

    def partition(self, *record: Any) -> int:
        topic, _, key, _, _, cluster = record
        return _murmur2(key) % len(cluster.partitions_for_topic(topic))


@lru_cache(maxsize=1 << 16)
def _murmur2(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF
