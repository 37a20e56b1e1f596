"""Running a statement for a client: rows out, or rows in."""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import closing

from . import packets
from .answers import Answers
from .blocks import EMPTY, Block, header_of, native_blocks
from .engine import EngineSession
from .statements import Insert, Statement


def select_rows(
    session: EngineSession,
    answers: Answers,
    statement: Statement,
    query: packets.Query,
    cancelled: threading.Event,
) -> None:
    """Send what ``statement`` returns, block by block as chDB makes them.

    Stops between blocks once ``cancelled`` is set. Raises ServerFault and ConnectionClosed.
    """
    rows = count = size = 0
    kinds: list[str] | None = None
    answers.start_reporting()
    with closing(_chunks(session, statement, query.params)) as chunks:
        for chunk in chunks:
            for block in native_blocks(chunk):
                if not count:
                    kinds = _full_types(session, statement, query.params, block)
                    answers.send_block(_retyped(block.header(), kinds))
                answers.send_block(_retyped(block, kinds))
                rows, count = rows + block.rows, count + 1
            size += len(chunk)
            if cancelled.is_set():
                return
    if count or statement.selects or statement.describes:
        if not count:
            answers.send_block(header_of(session.result_columns(statement, query.params)))
        if statement.selects and (statement.totals or _wants_extremes(query)):
            _send_edges(session, answers, statement, query.params, kinds)
        answers.send(packets.profile_info(rows, count, size))
    answers.stop_reporting(last=bool(count))
    if count:
        answers.send_block(EMPTY)


def _full_types(
    session: EngineSession, statement: Statement, params: Mapping[str, str], block: Block
) -> list[str] | None:
    """The result's types where ``block`` shows them without a time zone; None where it is right."""
    if not (statement.selects and block.hides_timezones):
        return None
    kinds = [kind for _, kind in session.result_columns(statement, params)]
    return kinds if len(kinds) == len(block.columns) else None


def _retyped(block: Block, kinds: list[str] | None) -> Block:
    return block if kinds is None else block.retyped(kinds)


def _chunks(
    session: EngineSession, statement: Statement, params: Mapping[str, str]
) -> Generator[bytes, None, None]:
    if statement.selects:
        yield from session.stream(statement.text, params)
    elif statement.shapes_session:
        yield session.shape(statement.text)
    else:
        yield session.execute(statement.text, params=params)


def _wants_extremes(query: packets.Query) -> bool:
    return any(
        setting.name == "extremes" and setting.value not in {"0", "false"}
        for setting in query.settings
    )


def _send_edges(
    session: EngineSession,
    answers: Answers,
    statement: Statement,
    params: Mapping[str, str],
    kinds: list[str] | None,
) -> None:
    edges = session.edges(statement.text, params)
    for kind, native in ((packets.TOTALS, edges.totals), (packets.EXTREMES, edges.extremes)):
        for block in native_blocks(native):
            answers.send_block(_retyped(block, kinds), kind)


def insert_rows(
    session: EngineSession,
    answers: Answers,
    insert: Insert,
    params: Mapping[str, str],
    next_block: Callable[[], Block | None],
) -> None:
    """Tell the client the columns, then write its blocks. Returns once chDB has written them.

    Raises ServerFault when chDB refuses the statement or a block.
    """
    columns = session.insert_columns(insert, params)
    receipt = packets.insert_receipt(answers.revision)
    answers.send_block(header_of(columns))
    with session.spool() as spool:
        while (block := next_block()) is not None:
            # answered before it is kept: the client encodes its next block meanwhile
            answers.send(receipt)
            if block.rows:
                spool.add(block)
        answers.send(receipt)
        if spool.rows:
            session.insert_file(insert, spool.path, params)
