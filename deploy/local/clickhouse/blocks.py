"""Native blocks: chDB's bytes to a Data packet's body and back, without decoding a value."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from clickhouse_driver import defines

from .extents import extent_of
from .faults import ProtocolFault
from .inbound import Inbound

LONGEST_NAME = 1 << 16
MOST_COLUMNS = 1 << 14
MOST_ROWS = 1 << 31

# Field 1: not an overflow row; field 2: no bucket; end. Precedes every block on the wire.
_BARE_DATETIME = re.compile(r"\bDateTime\b(?!\()")
_BLOCK_INFO = b"\x01\x00\x02" + struct.pack("<i", -1) + b"\x00"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``values`` are the bytes of all its rows, as they stand in the block."""

    name: bytes
    kind: str
    values: bytes

    @property
    def head(self) -> bytes:
        return string(self.name) + string(self.kind)


@dataclass(frozen=True, slots=True)
class Block:
    rows: int
    columns: tuple[Column, ...]

    def native(self) -> bytes:
        """The block as chDB's Native format has it."""
        parts: list[bytes] = [varint(len(self.columns)), varint(self.rows)]
        for column in self.columns:
            parts += (column.head, column.values)
        return b"".join(parts)

    def body(self, revision: int) -> bytes:
        """The block as a Data packet of ``revision`` has it, after the table name."""
        parts: list[bytes] = [
            _BLOCK_INFO, varint(len(self.columns)), varint(self.rows),
        ]  # fmt: skip
        # From this revision a flag says whether a column is sparse; ours never is.
        flag = b"\x00" if revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION else b""
        for column in self.columns:
            parts += (column.head, flag, column.values)
        return b"".join(parts)

    def retyped(self, kinds: list[str]) -> "Block":
        """The same values under other names of their types."""
        pairs = zip(self.columns, kinds, strict=True)
        return Block(self.rows, tuple(Column(one.name, kind, one.values) for one, kind in pairs))

    @property
    def hides_timezones(self) -> bool:
        """ChDB's Native writes DateTime('Asia/Tehran') as DateTime."""
        return any(_BARE_DATETIME.search(column.kind) for column in self.columns)

    def header(self) -> "Block":
        """The same columns without rows."""
        return Block(0, tuple(Column(column.name, column.kind, b"") for column in self.columns))


EMPTY = Block(0, ())


def header_of(columns: list[tuple[str, str]]) -> Block:
    """A block without rows for (name, type) pairs."""
    return Block(0, tuple(Column(name.encode(), kind, b"") for name, kind in columns))


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return varint(len(raw)) + raw


def native_blocks(chunk: bytes) -> Iterator[Block]:
    """The blocks in what chDB returned for FORMAT Native."""
    inbound = Inbound(bytes, len(chunk))
    inbound.held += chunk
    while inbound.position < len(chunk):
        yield _read_block(inbound, flagged=False)


def read_body(inbound: Inbound, revision: int) -> Block:
    """The block of a Data packet, after the table name.

    Raises ProtocolFault for bytes that are no block and ConnectionClosed at the end of input.
    """
    while field := inbound.varint():
        if field == 1:
            inbound.skip(1)
        elif field == 2:
            inbound.skip(4)
        else:
            raise ProtocolFault(f"Unknown block info field {field}")
    flagged = revision >= defines.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION
    return _read_block(inbound, flagged=flagged)


def _read_block(inbound: Inbound, *, flagged: bool) -> Block:
    count, rows = inbound.varint(), inbound.varint()
    if count > MOST_COLUMNS or rows > MOST_ROWS:
        raise ProtocolFault(f"A block claims {count} columns and {rows} rows")
    return Block(rows, tuple(_read_column(inbound, rows, flagged=flagged) for _ in range(count)))


def _read_column(inbound: Inbound, rows: int, *, flagged: bool) -> Column:
    name, kind = inbound.binary(LONGEST_NAME), inbound.text(LONGEST_NAME)
    if flagged and inbound.uint8():
        raise ProtocolFault("Sparse columns are not supported by the local front", 48)
    start = inbound.position
    if rows:
        try:
            extent_of(kind).skip(inbound, rows)
        except RecursionError:
            raise ProtocolFault("A type is nested too deeply") from None
    return Column(name, kind, bytes(inbound.held[start : inbound.position]))
