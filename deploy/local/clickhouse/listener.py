"""Accepting clients: a bounded number of threads, and an orderly end."""

import contextlib
import socket
import threading
import time

from . import packets
from .conversation import Conversation
from .engine import Engine
from .faults import ServerFault
from .hangups import HangupWatch

MOST_CLIENTS = 100
_GRACE_SECONDS = 30.0
_ABORT_SECONDS = 5.0


class Listener:
    """Clients of ``engine`` on a listening socket. ``run`` returns after ``stop``."""

    def __init__(self, listening: socket.socket, engine: Engine) -> None:
        self._listening = listening
        self._engine = engine
        self._hangups = HangupWatch()
        self._clients: dict[threading.Thread, Conversation] = {}
        self._stopped = False

    def run(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._listening.accept()
            except OSError:
                continue
            self._welcome(client)
        self._listening.close()
        self._see_off()

    def stop(self) -> None:
        """Make ``run`` return: no new client, running inserts finished, nothing left open."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)

    def _welcome(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients = {t: talk for t, talk in self._clients.items() if t.is_alive()}
        if len(self._clients) >= MOST_CLIENTS:
            refusal = ServerFault(202, f"Too many connections: at most {MOST_CLIENTS}")
            with contextlib.suppress(OSError):
                client.sendall(packets.exception(refusal))
            client.close()
            return
        conversation = Conversation(client, self._engine, self._hangups)
        thread = threading.Thread(target=conversation.serve, name="client", daemon=True)
        self._clients[thread] = conversation
        thread.start()

    def _see_off(self) -> None:
        for conversation in self._clients.values():
            conversation.leave()
        self._join(_GRACE_SECONDS)
        for thread, conversation in self._clients.items():
            if thread.is_alive():
                conversation.abort()
        self._join(_ABORT_SECONDS)
        self._hangups.stop()

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._clients:
            thread.join(max(0.0, deadline - time.monotonic()))
