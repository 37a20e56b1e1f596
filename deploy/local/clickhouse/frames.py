"""Compressed frames: a checksum, a method, two sizes, the bytes."""

import struct
from collections.abc import Callable

from clickhouse_cityhash.cityhash import CityHash128  # type: ignore[import-untyped]
from lz4 import block as lz4_block

from .faults import ProtocolFault
from .inbound import Inbound

LARGEST_FRAME = 1 << 30

_LZ4, _ZSTD, _NONE = 0x82, 0x90, 0x02
_SIZES = struct.Struct("<BII")
_CHECKSUM = struct.Struct("<QQ")
_HEADER = _SIZES.size
# LZ4 cannot shrink further than this, so a frame that claims more is a lie.
_LZ4_BEST_RATIO = 255


def compress(body: bytes) -> bytes:
    """``body`` as one LZ4 frame."""
    packed: bytes = lz4_block.compress(body, store_size=False)
    checked = _SIZES.pack(_LZ4, _HEADER + len(packed), len(body)) + packed
    digest = CityHash128(checked)
    return _CHECKSUM.pack(digest >> 64, digest & 0xFFFFFFFFFFFFFFFF) + checked


def frame_reader(inbound: Inbound) -> Callable[[], bytes]:
    """A source of decompressed bytes for another Inbound, one frame a call."""

    def next_frame() -> bytes:
        inbound.forget()
        high, low = _CHECKSUM.unpack(inbound.take(_CHECKSUM.size))
        start = inbound.position
        method, size, original = _SIZES.unpack(inbound.take(_HEADER))
        if not _HEADER <= size <= LARGEST_FRAME or not 0 < original <= LARGEST_FRAME:
            raise ProtocolFault(f"A frame of {size} bytes claims to hold {original}", 272)
        packed = inbound.take(size - _HEADER)
        checked = bytes(inbound.held[start : inbound.position])
        # The size is believed, and memory taken, only once the checksum vouches for it.
        if CityHash128(checked) != (high << 64) + low:
            raise ProtocolFault("Checksum doesn't match: corrupted data", 40)
        inbound.forget()
        return _unpack(method, packed, original)

    return next_frame


def _unpack(method: int, packed: bytes, original: int) -> bytes:
    if method == _NONE:
        return packed
    if method != _LZ4:
        name = "ZSTD" if method == _ZSTD else f"0x{method:02x}"
        raise ProtocolFault(f"Compression {name} is not supported: use lz4", 89)
    if original > _LZ4_BEST_RATIO * len(packed) + 64:
        raise ProtocolFault(f"A frame of {len(packed)} bytes claims to hold {original}", 271)
    try:
        return bytes(lz4_block.decompress(packed, uncompressed_size=original))
    except lz4_block.LZ4BlockError as error:
        raise ProtocolFault(f"Cannot decompress: {error}", 271) from None
