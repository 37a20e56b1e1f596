"""Blocks of rows into tables: ClickHouse, or memory for tests and dry runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from clickhouse_driver import Client
from clickhouse_driver.errors import (
    ChecksumDoesntMatchError,
    ErrorCodes,
    NetworkError,
    PartiallyConsumedQueryError,
    ServerException,
    SocketTimeoutError,
    UnexpectedPacketFromServerError,
    UnknownPacketFromServerError,
)

from sinks.rows import Table

# What a server says when it will take the same block later.
_TRANSIENT: Final = frozenset(
    {
        ErrorCodes.TIMEOUT_EXCEEDED,
        ErrorCodes.TOO_MANY_SIMULTANEOUS_QUERIES,
        ErrorCodes.SOCKET_TIMEOUT,
        ErrorCodes.NETWORK_ERROR,
        ErrorCodes.NO_ZOOKEEPER,
        ErrorCodes.ABORTED,
        ErrorCodes.MEMORY_LIMIT_EXCEEDED,
        ErrorCodes.TABLE_IS_READ_ONLY,
        ErrorCodes.NOT_ENOUGH_SPACE,
        ErrorCodes.TOO_MANY_PARTS,
        ErrorCodes.TOO_LESS_LIVE_REPLICAS,
        ErrorCodes.UNKNOWN_STATUS_OF_INSERT,
        ErrorCodes.KEEPER_EXCEPTION,
        # A shard, or too many of its replicas, is away.
        ErrorCodes.ALL_CONNECTION_TRIES_FAILED,
        ErrorCodes.NO_ACTIVE_REPLICAS,
        ErrorCodes.UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE,
        ErrorCodes.DNS_ERROR,
        439,  # CANNOT_SCHEDULE_TASK
        745,  # SERVER_OVERLOADED
    }
)
# What a server says of a user and password it does not know.
_LOGIN: Final = frozenset(
    {
        ErrorCodes.UNKNOWN_USER,
        ErrorCodes.WRONG_PASSWORD,
        ErrorCodes.REQUIRED_PASSWORD,
        516,  # AUTHENTICATION_FAILED
    }
)
# What a connection says that broke or was closed.
_BROKEN: Final = (
    OSError,
    EOFError,
    NetworkError,
    SocketTimeoutError,
    ChecksumDoesntMatchError,
    PartiallyConsumedQueryError,
    UnexpectedPacketFromServerError,
    UnknownPacketFromServerError,
)
_OVERLOADED_SECONDS: Final = 2.0
_COLUMNS_OF: Final = """
SELECT name, type FROM system.columns
WHERE database = currentDatabase() AND table = %(table)s
"""


class WriterError(Exception):
    """Rows were not written."""

    kind = "refused"


class WriterUnavailable(WriterError):
    """The database cannot take rows now; the same rows may be tried after `retry_after` seconds.

    `reason` is the error's kind, without what a server quotes of rows.
    """

    kind = "unavailable"

    def __init__(self, message: str, retry_after: float = 0.0, reason: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason or message


class SchemaDrift(WriterError):
    """The table has no such column, or of another type: migrations and code disagree."""

    kind = "drift"

    def __init__(self, table: str, column: str, fault: str) -> None:
        super().__init__(f"{table}.{column} {fault}: run `journey setup`, or undo the change")
        self.table = table
        self.column = column


class LoginRefused(WriterError):
    """The database refuses our user or password, and has never let us in."""


class InsertRefused(WriterError):
    """The database refuses these rows and would again."""

    def __init__(self, table: str, message: str) -> None:
        super().__init__(f"{table}: {message}")
        self.table = table


class Writer(Protocol):
    """Where rows go. One thread at a time."""

    def insert(self, table: Table, columns: Sequence[list[Any]]) -> int:
        """Write one block, whole or not at all, and say how many rows it had.

        The lists are consumed: build them again for another try. Raises WriterUnavailable, and
        SchemaDrift or InsertRefused where trying again is of no use.
        """

    def refresh(self) -> None:
        """Let readers see the identities written so far; raises WriterUnavailable."""

    def close(self) -> None:
        """Give back the connection."""


class ClickHouseWriter:
    """Inserts through clickhouse-driver in columnar blocks; reconnects with the next insert."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._verified: set[str] = set()
        self._let_in = False  # since then a refusal may be a change of passwords under way

    def log_in(self) -> None:
        """Try the login, so that one of no use is told at once; raises LoginRefused only."""
        try:
            self._client.execute("SELECT 1")
            self._let_in = True
        except _BROKEN:
            self._client.disconnect()
        except ServerException as error:
            self._client.disconnect()
            if error.code in _LOGIN:
                raise _refused(self._client, error) from error

    def insert(self, table: Table, columns: Sequence[list[Any]]) -> int:
        rows = len(columns[0])
        if not rows:
            return 0
        names = ", ".join(f"`{column.name}`" for column in table.columns)
        try:
            if table.name not in self._verified:
                self._verify(table)
                self._verified.add(table.name)
            self._client.execute(
                f"INSERT INTO `{table.name}` ({names}) VALUES",
                columns,
                columnar=True,
            )
            self._let_in = True
        except WriterError:
            raise
        except Exception as error:
            # The driver raises whatever a value of another type meets on its way to the wire.
            self._verified.clear()
            raise self._explained(table, error) from error
        return rows

    def refresh(self) -> None:
        try:
            self._client.execute("SYSTEM RELOAD DICTIONARY customer_of")
        except (*_BROKEN, ServerException) as error:
            raise _unavailable("customer_of", error) from error

    def close(self) -> None:
        self._client.disconnect()

    def _verify(self, table: Table) -> None:
        found = dict(self._client.execute(_COLUMNS_OF, {"table": table.name}))
        for column in table.columns:
            if column.name not in found:
                raise SchemaDrift(table.name, column.name, "does not exist")
            if found[column.name] != column.type:
                raise SchemaDrift(
                    table.name, column.name, f"is {found[column.name]} and not {column.type}"
                )

    def _explained(self, table: Table, error: Exception) -> WriterError:
        if isinstance(error, _BROKEN):
            self._client.disconnect()
            return _unavailable(table.name, error)
        if isinstance(error, ServerException) and error.code in _LOGIN:
            self._client.disconnect()
            if not self._let_in:
                return _refused(self._client, error)
            return _unavailable(table.name, error, _OVERLOADED_SECONDS)
        if isinstance(error, ServerException) and error.code in _TRANSIENT:
            return _unavailable(table.name, error, _OVERLOADED_SECONDS)
        try:
            self._verify(table)
        except SchemaDrift as drift:
            return drift
        except (*_BROKEN, ServerException) as second:
            return _unavailable(table.name, second)
        return InsertRefused(table.name, _line(error))


class MemoryWriter:
    """Keeps rows in lists, one for each table; `outage` is raised while it is set."""

    def __init__(self) -> None:
        self.stored: dict[str, list[tuple[Any, ...]]] = {}
        self.outage: WriterUnavailable | None = None
        self.refreshed = 0

    def insert(self, table: Table, columns: Sequence[list[Any]]) -> int:
        if self.outage is not None:
            raise self.outage
        rows = list(zip(*columns, strict=True))
        self.stored.setdefault(table.name, []).extend(rows)
        return len(rows)

    def refresh(self) -> None:
        if self.outage is not None:
            raise self.outage
        self.refreshed += 1

    def close(self) -> None:
        return None


def _refused(client: Client, error: ServerException) -> LoginRefused:
    at = client.connection
    return LoginRefused(
        f"ClickHouse at {at.hosts[0][0]}:{at.hosts[0][1]} refuses the login of {at.user} "
        f"({error.code}): set user and password in JOURNEY_CLICKHOUSE anew"
    )


def _unavailable(what: str, error: Exception, retry_after: float = 0.0) -> WriterUnavailable:
    reason = type(error).__name__
    if isinstance(error, ServerException):
        name = next((n for n, code in vars(ErrorCodes).items() if code == error.code), "")
        reason = f"{error.code} {name}".strip()
    return WriterUnavailable(f"{what}: {_line(error)}", retry_after, reason)


def _line(error: BaseException) -> str:
    text = str(error).partition("Stack trace")[0]
    return " ".join(text.split())[:300] or type(error).__name__
