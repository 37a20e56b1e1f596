"""Files to lines: NDJSON, CSV or columns apart by blanks, each with its number and raw bytes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple
from uuid import UUID, uuid5

import msgspec

from producers.mapping import CsvMapping, MappingError, Row, RowError
from schemas.decode import Rejection
from schemas.outcome import Reason
from schemas.touchpoint import MAX_BYTES

Format = Literal["ndjson", "csv"]

# A fixed namespace of ours; changing it would give every imported line a new event id.
_NAMESPACE: Final = UUID("5f3b1a52-6a0e-5c56-9c43-0d3f1c1f9b7e")
_BOM: Final = b"\xef\xbb\xbf"
_LONGEST: Final = 4 * MAX_BYTES  # a line beyond is no touchpoint; its dead letter keeps this much
_decode_json: Final = msgspec.json.Decoder().decode


class Line(NamedTuple):
    """One record of a file: a wire touchpoint, or why it is none.

    `number` is the line it begins on, from 1. `row` is there where CSV columns were told apart but
    a cell did not convert.
    """

    number: int
    raw: bytes
    touchpoint: dict[str, Any] | None
    rejection: Rejection | None = None
    row: Row | None = None


def read(path: Path, format_: Format, mapping: CsvMapping | None = None) -> Iterator[Line]:
    """Every record of a file that is not blank, event ids filled in deterministically.

    The id of a line without one comes of the mapping's name, the line's bytes and how many equal
    lines came before: twin lines stay two touchpoints, the same file twice adds none. Raises
    OSError, and MappingError for CSV without a mapping or with columns it does not name.
    """
    if format_ == "ndjson":
        yield from _with_ids(_ndjson(path), mapping.name if mapping else "ndjson")
    elif mapping is None:
        raise MappingError(f"{path}: CSV needs a mapping of its columns; give one")
    else:
        yield from _with_ids(_csv(path, mapping), mapping.name)


def _with_ids(lines: Iterator[Line], name: str) -> Iterator[Line]:
    namespace = uuid5(_NAMESPACE, name).bytes
    seen: dict[bytes, int] = {}
    for line in lines:
        touchpoint = line.touchpoint
        if touchpoint is not None and touchpoint.get("event_id") is None:
            digest = sha1(namespace + line.raw, usedforsecurity=False).digest()
            earlier = seen.get(digest, 0)
            seen[digest] = earlier + 1
            if earlier:
                twin = namespace + line.raw + b"\x00%d" % earlier
                digest = sha1(twin, usedforsecurity=False).digest()
            touchpoint["event_id"] = str(UUID(bytes=digest[:16], version=5))
        yield line


def _ndjson(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, raw, whole in _raw_lines(file):
            if not raw.strip():
                continue
            if not whole:
                yield _too_long(number, raw)
                continue
            try:
                record = _decode_json(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield _rejected(number, raw, Reason.MALFORMED_JSON, "", str(error))
                continue
            if isinstance(record, dict):
                yield Line(number, raw, record)
            else:
                message = "is not a JSON object"
                yield _rejected(number, raw, Reason.MALFORMED_JSON, "", message)


def _csv(path: Path, mapping: CsvMapping) -> Iterator[Line]:
    columns = mapping.columns
    with path.open("rb") as file:
        for number, raw, cells in _cells(file, mapping.delimiter):
            if isinstance(cells, Rejection):
                yield Line(number, raw, None, cells)
                continue
            if not columns:
                columns = tuple(cell.strip() for cell in cells)
                missing = mapping.used.difference(columns)
                if missing:
                    raise MappingError(
                        f"{path}:{number}: column {min(missing)!r} is not among the header's: "
                        + ", ".join(columns)
                    )
                continue
            if tuple(cells) == mapping.columns:
                continue  # a header although the mapping names the columns
            if len(cells) != len(columns):
                reason = Reason.MISSING_FIELD if len(cells) < len(columns) else Reason.UNKNOWN_FIELD
                message = f"has {len(cells)} columns where {len(columns)} are expected"
                yield _rejected(number, raw, reason, "", message)
                continue
            row = dict(zip(columns, cells, strict=True))
            try:
                yield Line(number, raw, mapping.touchpoint(row))
            except RowError as error:
                bad_time = error.field in {"occurred_at", "promised_at"}
                reason = Reason.BAD_TIME if bad_time else Reason.INVALID_FIELD
                yield Line(number, raw, None, Rejection(reason, error.field, str(error)), row)


def _cells(file: BinaryIO, delimiter: str) -> Iterator[tuple[int, bytes, list[str] | Rejection]]:
    """Records as (line, raw, cells); a quoted cell may span lines, and then `raw` does too."""
    taken: list[tuple[int, bytes, bool]] = []

    def text_lines() -> Iterator[str]:
        for line in _raw_lines(file):
            taken.append(line)
            # csv wants text; bytes that are not UTF-8 survive as surrogates and are found below.
            yield line[1].decode("utf-8", "surrogateescape") + "\n"

    source = text_lines()
    parsed: Iterator[list[str]] = (
        (line.split() for line in source)
        if delimiter == "whitespace"
        else csv.reader(source, delimiter=delimiter, strict=True)
    )
    while True:
        taken.clear()
        fault = ""
        cells: list[str] = []
        try:
            cells = next(parsed)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"is not CSV: {error}"
        number = taken[0][0]
        raw = b"\n".join(line for _, line, _ in taken)[:_LONGEST]
        if not all(whole for _, _, whole in taken):
            fault = f"is longer than {_LONGEST:,} bytes"
            yield number, raw, Rejection(Reason.OVERSIZED, "", fault)
        elif not _is_utf8(raw):
            yield number, raw, Rejection(Reason.MALFORMED_JSON, "", "is not UTF-8")
        elif fault:
            yield number, raw, Rejection(Reason.MALFORMED_JSON, "", fault)
        elif any(cell.strip() for cell in cells):
            yield number, raw, cells


def _raw_lines(file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """(number, bytes without line end, whether all of it), in bounded memory; no BOM."""
    number = 0
    while chunk := file.readline(_LONGEST):
        number += 1
        whole = True
        rest = chunk
        while len(rest) == _LONGEST and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST)
            whole = whole and not rest
        yield number, (chunk.removeprefix(_BOM) if number == 1 else chunk).rstrip(b"\r\n"), whole


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _too_long(number: int, raw: bytes) -> Line:
    message = f"is longer than {_LONGEST:,} bytes; the dead letter keeps these"
    return _rejected(number, raw, Reason.OVERSIZED, "", message)


def _rejected(number: int, raw: bytes, reason: Reason, field: str, message: str) -> Line:
    return Line(number, raw, None, Rejection(reason, field, message))
