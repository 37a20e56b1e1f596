"""Dead letters back to touchpoints: as they are, or as a person mended them in a file."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import msgspec

from producers.publisher import prepare
from schemas.decode import Rejection, decode
from schemas.outcome import Reason
from streams.core.resolve import to_ms

# A fixed namespace of ours; changing it would let a replay repeated count twice.
_NAMESPACE: Final = UUID("0b8c6f0e-3f0a-5d0c-9a53-6c1f4f0f2d51")
_decode_json: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Hashing:
    """What identifiers are hashed by, as in `core.identifiers.normalise`."""

    key: bytes
    region: str
    own: frozenset[str]


class Mended(NamedTuple):
    """A letter that is a touchpoint: what to send, and the ledger's key of it."""

    anchor: str
    wire: bytes
    event_id: UUID
    occurred_ms: int


class Edit(NamedTuple):
    """One line of a file of letters. `fault` says why it cannot be read."""

    number: int
    id: str
    raw: bytes
    fault: str = ""


def mend(letter_id: str, raw: bytes, hashing: Hashing, now: datetime) -> Mended | Rejection:
    """The touchpoint that a letter's bytes are, judged as a worker will.

    Where it has no event id it gets one that is the letter's own, so that sending it again is
    sending the same.
    """
    try:
        given = _decode_json(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Rejection(Reason.MALFORMED_JSON, "", f"is not JSON: {error}")
    if not isinstance(given, dict):
        return Rejection(Reason.MALFORMED_JSON, "", "is not a JSON object")
    if given.get("event_id") is None:
        given["event_id"] = str(uuid5(_NAMESPACE, letter_id))
    anchor, wire = prepare(given, hashing.key, hashing.region, hashing.own)
    verdict = decode(wire, now)
    if isinstance(verdict, Rejection):
        return verdict
    return Mended(anchor, wire, verdict.event_id, to_ms(verdict.occurred_at))


def edits(path: Path) -> Iterator[Edit]:
    """Lines of a file as `journey dead list --json` writes it; of each, `id` and `raw` are read.

    `raw` is the record as text or, as is easier to edit, as the JSON object itself; `raw_base64`
    stands in its place where the bytes are no text. Raises OSError.
    """
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            edit = _edit(number, line)
            earlier = seen.setdefault(edit.id, number)
            if not edit.fault and earlier != number:
                edit = edit._replace(fault=f"is line {earlier} again: leave one of the two")
            yield edit


def _edit(number: int, line: bytes) -> Edit:
    try:
        given = _decode_json(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Edit(number, "", b"", f"is not JSON: {error}")
    if not isinstance(given, dict) or not isinstance(given.get("id"), str):
        return Edit(number, "", b"", 'has no "id": keep the one that the letter had')
    raw = _raw(given)
    if raw is None:
        fault = 'has no "raw": give the touchpoint, or "raw_base64"'
        return Edit(number, given["id"], b"", fault)
    return Edit(number, given["id"], raw)


def _raw(given: dict[str, Any]) -> bytes | None:
    match given:
        case {"raw": str(text)}:
            return text.encode("utf-8", "surrogatepass")
        case {"raw": dict(touchpoint)}:
            return _encode(touchpoint)
        case {"raw_base64": str(text)}:
            try:
                return b64decode(text, validate=True)
            except (Base64Error, ValueError):
                return None
    return None
