"""A TCP proxy between a client and a server of ours, which fails as networks and servers do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

Way = Literal["pass", "hang"]


@dataclass(slots=True)
class _Link:
    """One connection; what it forwards is decided when it began, or by `hang`."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None
    silent: bool = False
    left: int | None = None  # bytes until it is cut


class Proxy:
    """Listens on `port` and passes on to another port of this machine, until told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._delay = 0.0
        self._way: Way = "pass"
        self._links: list[_Link] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self.port = 0
        self._call(self._listen())

    def restore(self) -> None:
        """Pass everything on again. Connections that hung stay silent: nobody closed them."""
        self._call(self._restore())

    def refuse(self) -> None:
        """Break every connection and refuse others, as a port where nothing listens."""
        self._call(self._refuse())

    def hang(self) -> None:
        """Accept, and never answer nor pass anything on; connections there are fall silent."""
        self._call(self._hang())

    def delay(self, seconds: float) -> None:
        """Hold every piece of every connection for that long, in both directions."""
        self._delay = seconds

    def cut_after(self, count: int) -> None:
        """Reset each connection there is after so many more bytes; others pass."""
        self._call(self._cut(count))

    def close(self) -> None:
        """Stop listening and break every connection."""
        self._call(self._refuse())
        assert self._held is not None
        self._held.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _restore(self) -> None:
        self._delay, self._way = 0.0, "pass"
        for link in self._links:
            link.left = None
        if self._server is None:
            await self._listen()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._held = socket.socket()
            self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._held.bind(("127.0.0.1", self.port))
        for link in self._links:
            _reset(link)

    async def _hang(self) -> None:
        self._way = "hang"
        for link in self._links:
            link.silent = True

    async def _cut(self, count: int) -> None:
        for link in self._links:
            link.left = count

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer, None, self._way == "hang")
        self._links.append(link)
        try:
            if link.silent:
                await reader.read()
                return
            answers, link.server = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(
                self._pass(reader, link.server, link), self._pass(answers, writer, link)
            )
        except OSError:
            pass
        finally:
            self._links.remove(link)
            _reset(link)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: _Link
    ) -> None:
        while piece := await source.read(1 << 16):
            if self._delay:
                await asyncio.sleep(self._delay)
            if link.silent:
                continue
            if link.left is not None:
                piece, link.left = piece[: link.left], link.left - len(piece)
            sink.write(piece)
            await sink.drain()
            if link.left is not None and link.left <= 0:
                break
        if not link.silent:
            _reset(link)


def _reset(link: _Link) -> None:
    for writer in (link.client, link.server):
        if writer is not None:
            with suppress(OSError, RuntimeError):
                writer.transport.abort()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy to a port of this machine, for as long as the block runs."""
    found = Proxy(target)
    try:
        yield found
    finally:
        found.close()
