"""A rejected record as its dead letter, which fits a Kafka message whatever the record was."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from schemas.decode import Rejection
from schemas.outcome import DeadLetter
from schemas.touchpoint import MAX_BYTES

# Bytes of a record that are kept: as base64 well below Kafka's message of 1 MiB.
MAX_KEPT: Final = 4 * MAX_BYTES
_MAX_TOLD: Final = 256  # characters of a field's name or a message, which may quote the record


def letter_of(
    topic: str, partition: int, offset: int, rejection: Rejection, raw: bytes, received_ms: int
) -> DeadLetter:
    """The letter of a record. Of a longer one the first 256 KiB are kept, and its size and hash."""
    message = _told(rejection.message)
    cut = max(0, len(raw) - MAX_KEPT)
    if cut:
        message += (
            f"; {MAX_KEPT:,} bytes are kept of {len(raw):,}, sha256 {sha256(raw).hexdigest()}"
        )
    return DeadLetter(
        topic=topic,
        partition=partition,
        offset=offset,
        reason=rejection.reason,
        field=_told(rejection.field),
        message=message,
        raw=raw[:MAX_KEPT],
        received_ms=received_ms,
        cut=cut,
    )


def _told(text: str) -> str:
    return text if len(text) <= _MAX_TOLD else text[: _MAX_TOLD - 1] + "…"
