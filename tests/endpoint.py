"""A real HTTP endpoint for outreach: it remembers what it got, and answers as a test wants."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found

    def is_signed(self) -> bool:
        """By the recipe of docs/dispatch.md, written anew."""
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        id_, at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        signed = f"{id_}.{at}.".encode() + self.body
        want = "v1," + base64.b64encode(hmac.digest(key, signed, sha256)).decode()
        good = want in self.headers["webhook-signature"].split()
        return good and abs(int(at) - time.time()) < 300


@dataclass(frozen=True)
class Answer:
    """What to answer, and after how long; `cut` closes the connection instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: bool = False


class Endpoint:
    """Requests by path in order, and what to answer: a function of path and request."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], Answer] = lambda _: Answer()
        self.port = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def got(self, path: str) -> list[Received]:
        return [one for one in list(self.received) if one.path == path]

    def times(self, path: str) -> Counter[str]:
        """How often each idempotency key came."""
        return Counter(one.key for one in self.got(path))


@contextmanager
def serving(endpoint: Endpoint, port: int = 0) -> Iterator[Endpoint]:
    """Answer on a port of 127.0.0.1 until the block ends; then it refuses connections."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            one = Received(self.path, headers, body, time.time())
            endpoint.received.append(one)
            answer = endpoint.answer(one)
            if answer.delay and ended.wait(answer.delay):
                self.close_connection = True
                return
            if answer.cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def setup(self) -> None:
            super().setup()
            open_.add(self.connection)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """A client that was killed is no fault of ours."""

    ended = threading.Event()
    open_: set[socket.socket] = set()
    server = Server(("127.0.0.1", port), Handler)
    endpoint.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield endpoint
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        for connection in open_:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()
