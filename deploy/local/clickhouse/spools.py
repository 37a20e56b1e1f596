"""Blocks of an INSERT on disk, until the client has sent the last one."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from .blocks import Block
from .faults import ServerFault

_FOLDER = "incoming"


@dataclass
class Spool:
    """A file of Native blocks."""

    path: Path
    file: FileIO
    rows: int = 0

    def add(self, block: Block) -> None:
        """Append ``block``. Raises ServerFault (243, not enough space) when it cannot."""
        rest = memoryview(block.native())
        try:
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise ServerFault(
                243, f"Cannot keep the rows of an INSERT: {error.strerror}"
            ) from error
        self.rows += block.rows


class Spools:
    """The folder of spools inside the data folder; what a killed process left there is removed."""

    def __init__(self, data: Path) -> None:
        self._folder = data / _FOLDER
        self._folder.mkdir(exist_ok=True)
        for left in self._folder.iterdir():
            left.unlink()

    @contextlib.contextmanager
    def open(self) -> Iterator[Spool]:
        descriptor, name = tempfile.mkstemp(".native", dir=self._folder)
        with FileIO(descriptor, "w") as file:
            try:
                yield Spool(Path(name), file)
            finally:
                Path(name).unlink()
