"""A search of every byte that a store keeps on disk: inside ClickHouse's compressed blocks, too,
and in RocksDB's tables and logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import unpack_from
from typing import Final

import cramjam
import lz4.block

from tests.rocksdb_files import read_log, read_table

_CHECKSUM: Final = 16
_HEADER: Final = 9  # method, bytes compressed with this header, bytes uncompressed
_METHODS: Final = {
    0x02: lambda block, _: block,
    0x82: lambda block, size: lz4.block.decompress(block, uncompressed_size=size),
    0x90: lambda block, _: bytes(cramjam.zstd.decompress(block)),
    0x91: lambda *_: b"",  # several codecs: of times and counters only
}


def find(folder: Path, needles: Iterable[bytes]) -> dict[bytes, set[str]]:
    """Each needle that is in a file of the folder, with the files, relative to it.

    Raises Unfinished where RocksDB is just writing a table.
    """
    wanted = list(needles)
    found: dict[bytes, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        for content in _contents(path):
            for needle in wanted:
                if needle in content:
                    found.setdefault(needle, set()).add(str(path.relative_to(folder)))
    return found


def _contents(path: Path) -> Iterator[bytes]:
    """A file as it is, and what its blocks hold where it is made of ClickHouse's or RocksDB's."""
    try:
        raw = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".sst":
            yield from (key + b"\0" + value for key, value in read_table(path))
        elif path.with_name("CURRENT").exists() and (
            path.name.startswith("MANIFEST") or path.suffix == ".log"
        ):
            yield from read_log(path)
    except FileNotFoundError:  # merged or compacted away meanwhile
        return
    yield raw
    yield b"".join(_blocks(raw))


def _blocks(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at + _CHECKSUM + _HEADER <= len(raw):
        method, packed, unpacked = unpack_from("<BII", raw, at + _CHECKSUM)
        end = at + _CHECKSUM + packed
        if method not in _METHODS or packed < _HEADER or end > len(raw):
            return
        block = raw[at + _CHECKSUM + _HEADER : end]
        try:
            yield _METHODS[method](block, unpacked)
        except (lz4.block.LZ4BlockError, cramjam.DecompressionError):  # it only looked like one
            return
        at = end
