"""Reading untrusted bytes: what is held never exceeds what has arrived, up to a limit."""

import struct
from collections.abc import Callable

from .faults import ConnectionClosed, ProtocolFault

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Inbound:
    """Bytes as they arrive. ``position`` moves forward; ``forget`` drops what lies behind it.

    ``receive`` returns the next bytes, or none at the end. A length that a client merely claims
    is never allocated: bytes are awaited, and more than ``limit`` of them raise ProtocolFault.
    """

    __slots__ = ("_receive", "held", "limit", "position")

    def __init__(self, receive: Callable[[], bytes], limit: int) -> None:
        self._receive = receive
        self.limit = limit
        self.held = bytearray()
        self.position = 0

    def forget(self) -> None:
        del self.held[: self.position]
        self.position = 0

    def ensure(self, end: int) -> None:
        """Wait until the bytes up to offset ``end`` of ``held`` have arrived."""
        if end > self.limit:
            raise ProtocolFault(f"Packet of {end} bytes is over the limit of {self.limit}")
        while len(self.held) < end:
            received = self._receive()
            if not received:
                raise ConnectionClosed
            self.held += received

    def skip(self, size: int) -> None:
        end = self.position + size
        self.ensure(end)
        self.position = end

    def take(self, size: int) -> bytes:
        start = self.position
        self.skip(size)
        return bytes(self.held[start : self.position])

    def uint8(self) -> int:
        self.skip(1)
        return self.held[self.position - 1]

    def uint32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def uint64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.uint8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ProtocolFault("A number is longer than 64 bits")

    def binary(self, longest: int) -> bytes:
        """Bytes after their length, which may not exceed ``longest``."""
        size = self.varint()
        if size > longest:
            raise ProtocolFault(f"A string of {size} bytes where at most {longest} are expected")
        return self.take(size)

    def text(self, longest: int) -> str:
        try:
            return self.binary(longest).decode()
        except UnicodeDecodeError as error:
            raise ProtocolFault(f"A string is not UTF-8: {error.reason}") from None

    def skip_strings(self, count: int) -> None:
        """Step over ``count`` strings; the inner loop is what a String column costs."""
        while count:
            count = self._skip_held_strings(count)

    def _skip_held_strings(self, count: int) -> int:
        """Step over the strings whose length has arrived; how many remain."""
        held, position, started = self.held, self.position, self.position
        done = 0
        try:
            for done in range(count):  # noqa: B007
                started = position
                size = held[position]
                position += 1
                if size >= 0x80:
                    size &= 0x7F
                    shift = 7
                    while (byte := held[position]) >= 0x80:
                        size |= (byte & 0x7F) << shift
                        position += 1
                        shift += 7
                        if shift > 63:
                            raise ProtocolFault("A string's length is longer than 64 bits")
                    size |= byte << shift
                    position += 1
                position += size
        except IndexError:
            self.ensure(started + 1 if started >= len(held) else len(held) + 1)
            self.position = started
            return count - done
        self.ensure(position)
        self.position = position
        return 0
