"""The stream to be sent, as a file: every record's key and bytes, in order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from producers.publisher import prepare
from producers.simulator import simulate

_SIZES: Final = struct.Struct(">II")
PER_CUSTOMER: Final = 20  # touchpoints, on average


class Sent(NamedTuple):
    """A record as it is sent."""

    key: str
    value: bytes


def write(
    path: Path, touchpoints: int, seed: int, until: datetime, key: bytes, region: str
) -> None:
    """Write the simulator's records, 1 % of them duplicates and 0.1 % malformed."""
    with path.open("wb") as file:
        for number, (_, touchpoint, raw) in enumerate(
            simulate(touchpoints, max(1, touchpoints // PER_CUSTOMER), seed, until)
        ):
            if touchpoint is not None:
                anchor, value = prepare(touchpoint, key, region)
            else:
                anchor, value = f"malformed:{number}", raw or b""
            encoded = anchor.encode()
            file.write(_SIZES.pack(len(encoded), len(value)) + encoded + value)


def read(path: Path, start: int = 0) -> Iterator[Sent]:
    """The records from number `start` on."""
    return islice(_read(path), start, None)


def _read(path: Path) -> Iterator[Sent]:
    with path.open("rb") as file:
        while sizes := file.read(_SIZES.size):
            key, value = _SIZES.unpack(sizes)
            yield Sent(file.read(key).decode(), file.read(value))
