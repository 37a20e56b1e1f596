"""What RocksDB's files hold, deleted and replaced records too, which RocksDB itself does not tell.

Tables of format version 6 (github.com/facebook/rocksdb/wiki/Rocksdb-BlockBasedTable-Format) and
its logs, of which the manifest is one. What cannot be read raises: nothing is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from
from typing import Final

import cramjam
import lz4.block

_MAGIC: Final = 0x88E241B785F4CFF7
_FOOTER: Final = 53
_TRAILER: Final = 5  # after a block: its compression, and a checksum
_INTERNAL: Final = 8  # after a key: its sequence number and what was done
_LOG_BLOCK: Final = 32_768
_LOG_HEADER: Final = 7
_FIRST, _MIDDLE = 2, 3  # of a record of a log in pieces


class Unfinished(Exception):
    """A table that is being written."""


def read_table(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Every key and value of an `.sst` file; a deletion has no value. Raises Unfinished."""
    raw = path.read_bytes()
    version, magic = unpack_from("<IQ", raw, len(raw) - 12) if len(raw) > _FOOTER else (0, 0)
    if magic != _MAGIC:
        raise Unfinished(path)
    assert version == 6, f"{path}: another format of tables"
    (size,) = unpack_from("<I", raw, len(raw) - _FOOTER + 13)
    meta = _block(raw, len(raw) - _FOOTER - _TRAILER - size, size)
    (index,) = [_handle(value)[:2] for key, value in _entries(meta) if key == b"rocksdb.index"]
    for at, size in _index(_block(raw, *index)):
        for key, value in _entries(_block(raw, at, size)):
            yield key[:-_INTERNAL], value


def read_log(path: Path) -> Iterator[bytes]:
    """Every record of a `.log` or `MANIFEST-…` file, put together of its pieces."""
    raw, at, record = path.read_bytes(), 0, b""
    while at + _LOG_HEADER <= len(raw):
        left = _LOG_BLOCK - at % _LOG_BLOCK
        size, kind = unpack_from("<HB", raw, at + 4)
        if left < _LOG_HEADER or not kind:
            at += left
            continue
        assert kind <= 4, f"{path}: another format of logs"
        record += raw[at + _LOG_HEADER : at + _LOG_HEADER + size]
        at += _LOG_HEADER + size
        if kind not in (_FIRST, _MIDDLE):
            yield record
            record = b""
    yield record


def _block(raw: bytes, at: int, size: int) -> bytes:
    block, compression = raw[at : at + size], raw[at + size]
    if compression == 1:
        return bytes(cramjam.snappy.decompress_raw(block))
    if compression:
        unpacked, start = _number(block, 0)
        if compression == 4:
            return lz4.block.decompress(block[start:], uncompressed_size=unpacked)
        assert compression == 7, f"compression {compression} is not known"
        return bytes(cramjam.zstd.decompress(block[start:]))
    return block


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    at, key, end = 0, b"", _end(block)
    while at < end:
        shared, at = _number(block, at)
        own, at = _number(block, at)
        size, at = _number(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + size]
        at += own + size


def _index(block: bytes) -> Iterator[tuple[int, int]]:
    """Where the blocks are: every entry begins anew, as by default."""
    at, end = 0, _end(block)
    while at < end:
        shared, at = _number(block, at)
        assert not shared, "an index of another interval"
        own, at = _number(block, at)
        place, size, at = _handle(block, at + own)
        yield place, size


def _end(block: bytes) -> int:
    (restarts,) = unpack_from("<I", block, len(block) - 4)
    return len(block) - 4 - 4 * int(restarts)


def _handle(value: bytes, at: int = 0) -> tuple[int, int, int]:
    place, at = _number(value, at)
    size, at = _number(value, at)
    return place, size, at


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A varint, and where the next thing begins."""
    found = shift = 0
    while True:
        found |= (raw[at] & 0x7F) << shift
        at += 1
        if raw[at - 1] < 0x80:
            return found, at
        shift += 7
