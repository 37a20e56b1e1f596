"""Noticing a Cancel packet, or a client that left, while a query keeps its thread busy."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator

from clickhouse_driver.protocol import ClientPacketTypes

_POLL_SECONDS = 0.05
_CANCEL = bytes([ClientPacketTypes.CANCEL])


class HangupWatch:
    """One thread over the sockets of all running queries."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hangups", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watching(self, sock: socket.socket, on_hangup: Callable[[], None]) -> Iterator[None]:
        """Call ``on_hangup`` (once, from the watching thread) if the client cancels or leaves."""
        with self._lock:
            self._selector.register(sock, selectors.EVENT_READ, on_hangup)
        try:
            yield
        finally:
            self._forget(sock)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _forget(self, sock: socket.socket) -> bool:
        with self._lock, contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)
            return True
        return False

    def _run(self) -> None:
        while not self._stopped.wait(0.0):
            for key, _ in self._selector.select(_POLL_SECONDS):
                sock, on_hangup = key.fileobj, key.data
                if isinstance(sock, socket.socket) and self._forget(sock) and _is_hangup(sock):
                    on_hangup()
        self._selector.close()


def _is_hangup(sock: socket.socket) -> bool:
    try:
        seen = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return seen in {b"", _CANCEL}
