"""chDB, one engine for the process: a session per client, each with its own settings."""

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from .blocks import Block
from .extents import split_arguments
from .faults import UNKNOWN_SETTING, ServerFault, engine_fault
from .quoting import quote, quote_name, unquote_name
from .spools import Spool, Spools
from .statements import Insert, Statement

Progress = Mapping[str, int]

# chDB reads a bare expression as a SELECT, which a server refuses as a syntax error.
_SERVER_DEFAULTS = "SET implicit_select = 0"
# Settings for the server, not the engine: chDB would write its log to our stderr.
_OURS = frozenset({"send_logs_level"})
_NOT_STREAMED = "Streaming query is not supported"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a query. An unknown one is refused when important, else passed over."""

    name: str
    value: str
    important: bool


@dataclass(frozen=True, slots=True)
class Edges:
    """A row of totals and two of extremes as Native bytes; empty where there are none."""

    totals: bytes
    extremes: bytes


class Engine:
    """The engine on one data folder. ``close`` it last: it flushes and stops the merges.

    ``config`` is a configuration file of a ClickHouse server, which may name a file of users.
    """

    def __init__(self, folder: Path, config: Path | None = None) -> None:
        self._place = str(folder) if config is None else f"{folder}?config-file={config}"
        self._spools = Spools(folder)
        self._control = self._connect()
        self._control_lock = threading.Lock()
        major, minor, patch, *_ = self._scalar("SELECT version()").split(".")
        self.version = int(major), int(minor), int(patch)
        self.timezone = self._scalar("SELECT timezone()")

    def _connect(self) -> Any:
        try:
            return chdb.connect(self._place)
        except Exception as error:
            raise engine_fault(error) from error

    def session(self) -> "EngineSession":
        return EngineSession(self._connect, self._kill, self._spools.open)

    def _scalar(self, query: str) -> str:
        with self._control_lock:
            return str(self._control.query(query, "TSVRaw").bytes().decode()).strip()

    def _kill(self, mark: str) -> None:
        with self._control_lock, contextlib.suppress(Exception):
            self._control.query(
                f"KILL QUERY WHERE Settings['log_comment'] = {quote(mark)} ASYNC", "Null"
            )

    def close(self) -> None:
        with self._control_lock:
            self._control.close()


class EngineSession:
    """One client's connection to the engine. Not to be used by two threads, but for ``kill``."""

    def __init__(
        self,
        connect: Callable[[], Any],
        kill: Callable[[str], None],
        spool: Callable[[], contextlib.AbstractContextManager[Spool]],
    ) -> None:
        self._connect = connect
        self._connection = connect()
        self._kill = kill
        self.spool = spool
        self._mark = uuid.uuid4().hex
        self._settings: list[Setting] = []
        self._history: list[str] = []
        self._twin: EngineSession | None = None
        self._applied: dict[str, str] = {}
        self._before: dict[str, str] = {}
        # What settings are between queries: asked once, for it takes chDB 8 ms, until a SET.
        self._lasting: dict[str, str | None] = {}
        self.execute(f"{_SERVER_DEFAULTS}, log_comment = {quote(self._mark)}")

    def close(self) -> None:
        self._connection.close()
        if self._twin is not None:
            self._twin.close()

    def kill(self) -> None:
        """End the query this session is running; it fails with code 394. Any thread may call."""
        self._kill(self._mark)

    def on_progress(self, callback: Callable[[Progress], None] | None) -> None:
        self._connection.set_progress_callback(callback)

    def use(self, database: str) -> None:
        self.shape(f"USE {quote_name(database)}")

    def shape(self, statement: str) -> bytes:
        """Run a statement that changes the session itself: USE, SET or a temporary table."""
        result = self.execute(statement)
        self._history.append(statement)
        self._lasting.clear()
        return result

    def _shaped_twin(self) -> "EngineSession":
        """A session like this one, to ask questions while this one is in the middle of a query."""
        if self._twin is None:
            self._twin = EngineSession(self._connect, self._kill, self.spool)
        for statement in self._history:
            self._twin.execute(statement)
        self._history.clear()
        self._twin.configure(self._settings)
        return self._twin

    def execute(
        self, query: str, output: str = "Native", params: Mapping[str, str] | None = None
    ) -> bytes:
        """Run to the end. The whole result, in ``output`` format."""
        try:
            return bytes(self._connection.query(query, output, params=dict(params or {})).bytes())
        except Exception as error:
            raise engine_fault(error) from error

    def stream(self, query: str, params: Mapping[str, str]) -> Generator[bytes, None, None]:
        """Run, yielding Native bytes as they are made. Closing the generator cancels."""
        try:
            result = self._connection.send_query(query, "Native", params=dict(params))
        except Exception as error:
            if _NOT_STREAMED not in str(error):
                raise engine_fault(error) from error
            yield self.execute(query, params=params)
            return
        try:
            while (chunk := result.fetch()) is not None:
                yield chunk.bytes()
        except Exception as error:
            raise engine_fault(error) from error
        finally:
            result.close()

    @contextlib.contextmanager
    def temporary_tables(self, tables: Mapping[str, list[Block]]) -> Iterator[None]:
        """Tables that only this session sees, filled from ``tables``, gone afterwards."""
        made: list[str] = []
        try:
            for name, blocks in tables.items():
                columns = ", ".join(
                    f"{quote_name(column.name.decode())} {column.kind}"
                    for column in blocks[0].columns
                )
                table = quote_name(name)
                self.shape(f"CREATE TEMPORARY TABLE {table} ({columns}) ENGINE = Memory")
                made.append(table)
                self._fill(table, blocks)
            yield
        finally:
            for table in made:
                self.shape(f"DROP TEMPORARY TABLE IF EXISTS {table}")

    def _fill(self, table: str, blocks: list[Block]) -> None:
        with self.spool() as spool:
            for block in blocks:
                if block.rows:
                    spool.add(block)
            if spool.rows:
                into = Insert(f"INSERT INTO {table}", "", table, None)
                self.insert_file(into, spool.path, {})

    def edges(self, query: str, params: Mapping[str, str]) -> "Edges":
        """WITH TOTALS and extremes, which chDB's Native leaves out. Runs ``query`` once more."""
        found = json.loads(self.execute(query, "JSONCompactStrings", params))
        structure = ", ".join(
            f"{quote_name(column['name'])} {column['type']}" for column in found["meta"]
        )

        def native(rows: list[Any]) -> bytes:
            text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            return self.execute(
                "SELECT * FROM format(JSONCompactStringsEachRow, "  # noqa: S608
                f"{quote(structure)}, {quote(text)})"
            )

        extremes = found.get("extremes")
        return Edges(
            native([found["totals"]]) if "totals" in found else b"",
            native([extremes["min"], extremes["max"]]) if extremes else b"",
        )

    def insert_file(self, insert: Insert, path: Path, params: Mapping[str, str]) -> None:
        """Write the Native blocks in ``path``. Returns once the engine has written them.

        Not chDB's ``send_insert``: that one (4.4) reports success when the write fails, be it a
        constraint, a view or too many partitions.
        """
        self.execute(
            f"{insert.into} FROM INFILE {quote(str(path))} {insert.clauses} FORMAT Native",
            params=params,
        )

    def result_columns(
        self, statement: Statement, params: Mapping[str, str]
    ) -> list[tuple[str, str]]:
        """Names and types of what ``statement`` returns; it may be running at the moment."""
        if statement.selects:
            twin = self._shaped_twin()
            return twin._described(f"DESCRIBE (\n{statement.text}\n)", params)
        meta = json.loads(self.execute(statement.text, "JSONCompact", params))["meta"]
        return [(str(column["name"]), str(column["type"])) for column in meta]

    def insert_columns(self, insert: Insert, params: Mapping[str, str]) -> list[tuple[str, str]]:
        """Names and types of the columns that ``insert`` expects."""
        rows = self._rows(f"DESCRIBE TABLE {insert.target}", params)
        kinds = {str(row[0]): (str(row[1]), str(row[2])) for row in rows}
        if insert.columns is None:
            computed = {"MATERIALIZED", "ALIAS", "EPHEMERAL"}
            return [(name, kind) for name, (kind, how) in kinds.items() if how not in computed]
        names = [unquote_name(part) for part in split_arguments(insert.columns)]
        if all(name in kinds for name in names):
            return [(name, kinds[name][0]) for name in names]
        for name in names:
            if name.isidentifier() and name not in kinds:
                raise ServerFault(16, f"No such column {name} in table {insert.target}")
        return self._described(
            f"DESCRIBE (SELECT {insert.columns} FROM {insert.target.removeprefix('FUNCTION')})",  # noqa: S608
            params,
        )

    def _described(self, query: str, params: Mapping[str, str]) -> list[tuple[str, str]]:
        return [(str(row[0]), str(row[1])) for row in self._rows(query, params)]

    def _rows(self, query: str, params: Mapping[str, str]) -> list[list[Any]]:
        lines = self.execute(query, "JSONCompactEachRow", params).splitlines()
        return [json.loads(line) for line in lines if line]

    def configure(self, settings: list[Setting]) -> None:
        """Make ``settings`` hold for what runs next, and undo those of the query before."""
        self._settings = settings = [one for one in settings if one.name not in _OURS]
        wanted = {setting.name: setting.value for setting in settings}
        if wanted == self._applied:
            return
        for name in [name for name in self._applied if name not in wanted]:
            self.execute(f"SET {name} = {self._before.pop(name)}")
            del self._applied[name]
        for setting in settings:
            if self._applied.get(setting.name) != setting.value:
                self._set(setting)

    def _set(self, setting: Setting) -> None:
        name = setting.name
        if not name.isidentifier():
            raise ServerFault(UNKNOWN_SETTING, f"Unknown setting {name!r}")
        before = self._value_between_queries(name)
        if before is None:
            if setting.important:
                raise ServerFault(UNKNOWN_SETTING, f"Unknown setting '{name}'")
            return
        self.execute(f"SET {name} = {quote(setting.value)}")
        self._applied[name] = setting.value
        self._before[name] = before

    def _value_between_queries(self, name: str) -> str | None:
        """What to SET ``name`` to after a query that changes it; None for an unknown setting."""
        if name in self._applied:
            return self._before[name]
        if name not in self._lasting:
            query = f"SELECT value, changed FROM system.settings WHERE name = {quote(name)}"  # noqa: S608
            found = [
                quote(value) if changed else "DEFAULT" for value, changed in self._rows(query, {})
            ]
            self._lasting[name] = found[0] if found else None
        return self._lasting[name]
