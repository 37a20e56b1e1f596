"""What goes back to one client: whole packets, compressed when it asked for that."""

import socket
import threading
import time

from . import packets
from .blocks import Block
from .engine import Progress
from .faults import ConnectionClosed
from .frames import compress


class Answers:
    """The sending half of a connection. Progress may be sent from the engine's own thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self.revision = 0
        self.compressed = False
        self._reporting = False
        self._reported: Progress = {}
        self._reported_at = 0

    def send(self, *parts: bytes) -> None:
        """Send ``parts`` with nothing in between. Raises ConnectionClosed."""
        try:
            with self._lock:
                for part in parts:
                    self._socket.sendall(part)
        except OSError as error:
            raise ConnectionClosed from error

    def send_block(self, block: Block, kind: bytes = packets.DATA) -> None:
        body = block.body(self.revision)
        self.send(kind, compress(body) if self.compressed else body)

    def start_reporting(self) -> None:
        self._reported = {}
        self._reported_at = time.monotonic_ns()
        self._reporting = True

    def stop_reporting(self, *, last: bool) -> None:
        """No more progress, but for a ``last`` packet with the time that has passed."""
        self._reporting = False
        if last:
            self._report(self._reported)

    def read_so_far(self, progress: Progress) -> None:
        """Take from chDB what the running query has read since it began."""
        if self._reporting:
            try:
                self._report(progress)
            except ConnectionClosed:
                self._reporting = False

    def _report(self, progress: Progress) -> None:
        now = time.monotonic_ns()
        before, since = self._reported, self._reported_at
        self._reported, self._reported_at = progress, now

        def gained(what: str) -> int:
            return max(0, progress.get(what, 0) - before.get(what, 0))

        self.send(
            packets.progress(
                self.revision,
                rows=gained("read_rows"),
                size=gained("read_bytes"),
                total=gained("total_rows_to_read"),
                nanoseconds=now - since,
            )
        )
