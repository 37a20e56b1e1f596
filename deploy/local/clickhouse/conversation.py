"""One client's conversation: hello, then queries, inserts and pings until it leaves."""

import contextlib
import socket
import threading

from clickhouse_driver.protocol import ClientPacketTypes

from . import packets
from .answers import Answers
from .blocks import Block, read_body
from .engine import Engine, EngineSession
from .faults import QUERY_WAS_CANCELLED, ConnectionClosed, ProtocolFault, ServerFault
from .frames import frame_reader
from .hangups import HangupWatch
from .inbound import Inbound
from .queries import insert_rows, select_rows
from .statements import parse_statement

_RECEIVE_SIZE = 1 << 18
_LARGEST_HELLO = 1 << 18
_LARGEST_PACKET = 1 << 30
_HELLO_SECONDS = 10.0
_IDLE_SECONDS = 3600.0
_PACKET_SECONDS = 300.0


class Conversation:
    """Serves one accepted socket. ``serve`` returns when the client is gone."""

    def __init__(self, sock: socket.socket, engine: Engine, hangups: HangupWatch) -> None:
        self._socket = sock
        self._engine = engine
        self._hangups = hangups
        self._inbound = Inbound(self._receive, _LARGEST_HELLO)
        self._answers = Answers(sock)
        self._session: EngineSession | None = None
        self._body = self._inbound
        # An INSERT failed while its client is still sending blocks: they are read and dropped.
        self._draining = False
        self._leaving = threading.Event()
        self._busy = threading.Event()
        self._selecting = threading.Event()

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_RECEIVE_SIZE)
        except OSError as error:
            raise ConnectionClosed from error

    def serve(self) -> None:
        try:
            session = self._session = self._greet()
            while not self._leaving.is_set():
                self._answer(session)
        except ConnectionClosed:
            pass
        except ServerFault as fault:
            with contextlib.suppress(ConnectionClosed):
                self._answers.send(packets.exception(fault))
        finally:
            if self._session is not None:
                self._session.close()
            self._socket.close()

    def leave(self) -> None:
        """End soon: an idle client now, a SELECT by cancelling it, an INSERT once written."""
        self._leaving.set()
        if self._selecting.is_set() and self._session is not None:
            self._session.kill()
        elif not self._busy.is_set():
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def abort(self) -> None:
        """End now, whatever is running."""
        if self._session is not None:
            self._session.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _greet(self) -> EngineSession:
        self._socket.settimeout(_HELLO_SECONDS)
        if self._inbound.varint() != ClientPacketTypes.HELLO:
            raise ProtocolFault("Unexpected packet from client: expected Hello")
        hello = packets.read_hello(self._inbound)
        if hello.user not in {"", "default"} or hello.password:
            raise ServerFault(
                516,
                f"{hello.user}: Authentication failed: the local ClickHouse knows only the user "
                "default, without a password. (AUTHENTICATION_FAILED)",
            )
        session = self._engine.session()
        try:
            if hello.database:
                session.use(hello.database)
            self._answers.revision = hello.revision
            self._answers.send(
                packets.hello(self._engine.version, self._engine.timezone, hello.revision)
            )
            packets.read_addendum(self._inbound, hello.revision)
        except BaseException:
            session.close()
            raise
        session.on_progress(self._answers.read_so_far)
        self._inbound.limit = _LARGEST_PACKET
        return session

    def _answer(self, session: EngineSession) -> None:
        self._inbound.forget()
        self._socket.settimeout(_IDLE_SECONDS)
        kind = self._inbound.varint()
        self._busy.set()
        self._socket.settimeout(_PACKET_SECONDS)
        if kind == ClientPacketTypes.PING:
            self._answers.send(packets.PONG)
        elif kind == ClientPacketTypes.QUERY:
            self._query(session)
        elif kind == ClientPacketTypes.DATA and self._draining:
            self._draining = bool(self._read_block()[1].columns)
        elif kind != ClientPacketTypes.CANCEL:
            raise ProtocolFault(f"Unexpected packet {ClientPacketTypes.to_str(kind)} from client")
        self._busy.clear()

    def _query(self, session: EngineSession) -> None:
        query = packets.read_query(self._inbound, self._answers.revision)
        self._answers.compressed = query.compressed
        self._body = (
            Inbound(frame_reader(self._inbound), _LARGEST_PACKET)
            if query.compressed
            else self._inbound
        )
        self._draining = False
        tables = self._external_tables()
        cancelled = threading.Event()
        try:
            session.configure(query.settings)
            with session.temporary_tables(tables):
                self._run(session, query, cancelled)
        except ProtocolFault:
            raise
        except ServerFault as fault:
            if not (fault.code == QUERY_WAS_CANCELLED and cancelled.is_set()):
                self._answers.send(packets.exception(fault))
                return
        self._answers.send(packets.END_OF_STREAM)

    def _external_tables(self) -> dict[str, list[Block]]:
        """Blocks sent along with a query, by the name it knows them under."""
        tables: dict[str, list[Block]] = {}
        while True:
            name, block = self._read_data()
            if not block.columns:
                return tables
            tables.setdefault(name, []).append(block)

    def _run(
        self, session: EngineSession, query: packets.Query, cancelled: threading.Event
    ) -> None:
        statement = parse_statement(query.text)
        if statement.insert is not None:
            self._draining = True
            insert_rows(session, self._answers, statement.insert, query.params, self._next_block)
            return

        def hang_up() -> None:
            cancelled.set()
            session.kill()

        if statement.selects:
            self._selecting.set()
        try:
            with self._hangups.watching(self._socket, hang_up):
                select_rows(session, self._answers, statement, query, cancelled)
        finally:
            self._selecting.clear()

    def _next_block(self) -> Block | None:
        """The next block of an INSERT; None after the last."""
        block = self._read_data()[1]
        self._draining = bool(block.columns)
        return block if block.columns else None

    def _read_data(self) -> tuple[str, Block]:
        self._inbound.forget()
        kind = self._inbound.varint()
        if kind == ClientPacketTypes.CANCEL:
            self._draining = False
            raise ServerFault(QUERY_WAS_CANCELLED, "Query was cancelled. (QUERY_WAS_CANCELLED)")
        if kind != ClientPacketTypes.DATA:
            raise ProtocolFault(
                f"Unexpected packet {ClientPacketTypes.to_str(kind)}: expected Data"
            )
        return self._read_block()

    def _read_block(self) -> tuple[str, Block]:
        name = self._inbound.text(packets.LONGEST_TEXT)
        self._body.forget()
        return name, read_body(self._body, self._answers.revision)
