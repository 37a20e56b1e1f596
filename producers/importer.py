"""Files of touchpoints to Kafka: every line is published or becomes a dead letter with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from producers.lines import Format, Line, read
from producers.mapping import CsvMapping
from producers.publisher import Publisher, prepare
from schemas.dead_letters import letter_of
from schemas.decode import Rejection, decode
from schemas.outcome import DeadLetter
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS
from streams.core.identifiers import normalise, own_identifiers

SHOWN: Final = 20
_EVERY: Final = 1024  # lines between reports of progress

_encode: Final = msgspec.json.Encoder().encode


class Accepted(NamedTuple):
    """A line that is a touchpoint: its Kafka key, its wire bytes and its event id as a number."""

    anchor: str
    wire: bytes
    event_id: int


@dataclass(slots=True)
class ImportReport:
    """What became of a file. `rejected` has the first 20 as `FILE:LINE: field: message`."""

    lines: int = 0
    published: int = 0
    unique: int = 0  # event ids; fewer than published where a file repeats one
    rejected: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


def import_file(
    path: Path,
    publisher: Publisher,
    settings: Settings,
    now: datetime,
    format_: Format | None = None,
    mapping: CsvMapping | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ImportReport:
    """Publish a file's touchpoints, and its bad lines as dead letters; all are acknowledged.

    The format is CSV where a mapping is given and NDJSON otherwise, unless told. `now` (zone-aware)
    bounds how far ahead times may be. `progress` gets bytes done and in all. Raises OSError,
    MappingError, SettingsError and PublishError.
    """
    key, region = settings.identity_key_bytes(), settings.phone_region
    own = own_identifiers(settings.own_contacts, key, region)
    report = ImportReport()
    seen: set[int] = set()
    total, done = path.stat().st_size, 0
    for line in read(path, format_ or ("csv" if mapping else "ndjson"), mapping):
        verdict = judge(line, path.name, mapping, key, region, now, own)
        report.lines += 1
        if isinstance(verdict, Accepted):
            publisher.publish(verdict.wire, verdict.anchor)
            report.published += 1
            seen.add(verdict.event_id)
        else:
            publisher.publish(_encode(verdict), verdict.id, DEAD_LETTERS.name)
            report.reasons[verdict.reason] += 1
            if len(report.rejected) < SHOWN:
                what = f"{verdict.field}: {verdict.message}" if verdict.field else verdict.message
                report.rejected.append(f"{path}:{line.number}: {what}")
        done += len(line.raw) + 1
        if report.lines % _EVERY == 0:
            progress(min(done, total), total)
    publisher.flush()
    progress(total, total)
    report.unique = len(seen)
    return report


def judge(
    line: Line,
    file_name: str,
    mapping: CsvMapping | None,
    key: bytes,
    region: str,
    now: datetime,
    own: frozenset[str] = frozenset(),
) -> Accepted | DeadLetter:
    """What becomes of a line.

    A dead letter keeps the line as it stands, but where its identifiers could be told they are
    hashed first: it then holds the touchpoint, or the row of a CSV as a JSON object.
    """
    rejection, raw = line.rejection, line.raw
    if line.touchpoint is not None:
        anchor, raw = prepare(line.touchpoint, key, region, own)
        verdict = decode(raw, now)
        if not isinstance(verdict, Rejection):
            return Accepted(anchor, raw, verdict.event_id.int)
        rejection = verdict
    elif line.row is not None and mapping is not None:
        raw = _encode(_concealed(line.row, mapping, key, region))
    assert rejection is not None
    received_ms = int(now.timestamp() * 1000)
    return letter_of(f"import:{file_name}", 0, line.number, rejection, raw, received_ms)


def _concealed(row: dict[str, str], mapping: CsvMapping, key: bytes, region: str) -> dict[str, Any]:
    return {
        column: normalise(kind, text, key, region)
        if (kind := mapping.naming.get(column)) and text.strip()
        else text
        for column, text in row.items()
    }
