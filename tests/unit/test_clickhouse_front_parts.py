"""The parts of the local ClickHouse that need no engine: bytes, types, statements."""

import itertools
import random

import pytest

from deploy.local.clickhouse.blocks import Block, Column, native_blocks, read_body, string
from deploy.local.clickhouse.extents import split_arguments
from deploy.local.clickhouse.faults import ConnectionClosed, ProtocolFault, engine_fault
from deploy.local.clickhouse.frames import compress, frame_reader
from deploy.local.clickhouse.inbound import Inbound
from deploy.local.clickhouse.packets import REVISION
from deploy.local.clickhouse.quoting import quote, unquote_name
from deploy.local.clickhouse.statements import parse_statement


def u64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


# (type, rows, the bytes of that many values)
COLUMNS = [
    ("UInt32", 2, b"12345678"),
    ("String", 3, string("") + string("a" * 127) + string("b" * 20_000)),
    ("FixedString(3)", 2, b"abcdef"),
    ("Nullable(Int16)", 2, b"\x00\x01" + b"abcd"),
    ("Decimal(18, 4)", 1, b"8bytes.."),
    ("DateTime64(3, 'UTC')", 1, b"8bytes.."),
    ("Enum8('a, (b' = 1, 'c\\'d' = 2)", 2, b"\x01\x02"),
    ("Array(Array(UInt8))", 2, u64(1, 2) + u64(2, 3) + b"abc"),
    ("Array(LowCardinality(String))", 2, u64(1) + u64(0, 0)),
    ("Tuple(a String, `b c` UInt8)", 2, string("x") + string("yz") + b"\x01\x02"),
    ("Map(String, UInt16)", 2, u64(1, 2) + string("k") + string("l") + b"1234"),
    (
        "LowCardinality(Nullable(String))",
        3,
        u64(1) + u64(0x600, 2) + string("") + string("a") + u64(3) + b"\x00\x01\x01",
    ),
    ("Nested(a UInt8, b String)", 1, u64(2) + b"12" + string("p") + string("q")),
    ("SimpleAggregateFunction(sum, Int64)", 1, b"8bytes.."),
    ("Polygon", 1, u64(1) + u64(2) + b"x" * 32),
]


@pytest.mark.parametrize("revision", [54400, REVISION])
@pytest.mark.parametrize(("kind", "rows", "values"), COLUMNS, ids=[c[0] for c in COLUMNS])
def test_a_block_ends_where_its_last_value_ends(
    kind: str, rows: int, values: bytes, revision: int
) -> None:
    block = Block(rows, (Column(b"v", kind, values), Column(b"", "UInt8", b"\xff" * rows)))
    assert list(native_blocks(block.native() * 2)) == [block, block]
    body = block.body(revision)
    dice = random.Random(len(values))
    pieces = iter([bytes([byte]) for byte in body] if len(body) < 500 else cut(body, dice))
    inbound = Inbound(lambda: next(pieces, b""), 1 << 20)
    assert read_body(inbound, revision) == block
    assert inbound.position == len(body)


def cut(body: bytes, dice: random.Random) -> list[bytes]:
    places = sorted({0, len(body), *(dice.randrange(len(body)) for _ in range(50))})
    return [body[start:end] for start, end in itertools.pairwise(places)]


def test_a_block_cut_short_is_awaited_not_guessed() -> None:
    body = Block(1, (Column(b"v", "String", string("abc")),)).body(REVISION)
    for size in range(len(body)):
        with pytest.raises(ConnectionClosed):
            read_body(Inbound(iter([body[:size], b""]).__next__, 1 << 20), REVISION)


def test_more_than_the_limit_is_refused_before_it_arrives() -> None:
    inbound = Inbound(lambda: b"\xff" * 10, 100)
    with pytest.raises(ProtocolFault, match="over the limit"):
        inbound.skip(101)
    assert len(inbound.held) == 0


def test_frames() -> None:
    body = b"some bytes" * 1000
    whole = Inbound(iter([compress(body), b""]).__next__, 1 << 20)
    assert frame_reader(whole)() == body
    for place in (0, 16, 17, 21, 40):
        broken = bytearray(compress(body))
        broken[place] ^= 1
        wire = Inbound(iter([bytes(broken), b"", b""]).__next__, 1 << 20)
        with pytest.raises((ProtocolFault, ConnectionClosed)):
            frame_reader(wire)()


@pytest.mark.parametrize(
    ("text", "into", "clauses", "columns"),
    [
        ("INSERT INTO t VALUES", "INSERT INTO t", "", None),
        ("insert into db.t (a, `b,)`) values", "insert into db.t (a, `b,)`)", "", "a, `b,)`"),
        ("INSERT INTO `values` (a) FORMAT Native;", "INSERT INTO `values` (a)", "", "a"),
        ("INSERT INTO values VALUES", "INSERT INTO values", "", None),
        ("INSERT INTO t (a) SETTINGS x = 1 VALUES", "INSERT INTO t (a)", "SETTINGS x = 1", "a"),
        ("/* VALUES */ INSERT INTO TABLE t(* EXCEPT(a)) VALUES --",
         "/* VALUES */ INSERT INTO TABLE t(* EXCEPT(a))", "", "* EXCEPT(a)"),
        ("INSERT INTO FUNCTION null('a Int8') VALUES",
         "INSERT INTO FUNCTION null('a Int8')", "", None),
        ("INSERT INTO t", "INSERT INTO t", "", None),
    ],
)  # fmt: skip
def test_inserts_that_await_blocks(text: str, into: str, clauses: str, columns: str | None) -> None:
    insert = parse_statement(text).insert
    assert insert is not None
    assert (insert.into.strip(), insert.clauses.strip(), insert.columns) == (into, clauses, columns)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t (a) SELECT 1",
        "INSERT INTO t (SELECT 1)",
        "INSERT INTO t WITH 1 AS x SELECT x",
        "INSERT INTO t FORMAT JSONEachRow {}",
        "SELECT 'INSERT INTO t VALUES'",
    ],
)
def test_inserts_that_do_not(text: str) -> None:
    assert parse_statement(text).insert is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("SELECT 1 FORMAT JSON", "SELECT 1"),
        ("SELECT 1 format TSV;", "SELECT 1"),
        ("SELECT 1 FORMAT TSV SETTINGS a = 1", "SELECT 1  SETTINGS a = 1"),
        ("SELECT 'a FORMAT b' -- FORMAT c", "SELECT 'a FORMAT b' -- FORMAT c"),
        ("SELECT (SELECT 1 AS FORMAT)", "SELECT (SELECT 1 AS FORMAT)"),
        ("SHOW TABLES FORMAT CSV", "SHOW TABLES"),
    ],
)
def test_format_is_taken_off(text: str, plain: str) -> None:
    assert parse_statement(text).text.strip() == plain


def test_kinds_of_statement() -> None:
    assert parse_statement("(SELECT 1) UNION ALL (SELECT 2)").selects
    assert parse_statement("-- x\nWITH 1 AS a SELECT a").selects
    assert parse_statement("SELECT a FROM t GROUP BY a WITH TOTALS").totals
    assert not parse_statement("SELECT 'WITH TOTALS'").totals
    assert parse_statement("create temporary table t (a Int8)").shapes_session
    assert parse_statement("USE x").shapes_session
    assert parse_statement("SHOW TABLES").describes
    assert not parse_statement("   ").selects


def test_names_and_strings() -> None:
    assert quote("it's \\") == r"'it\'s \\'"
    assert [unquote_name(name) for name in ("a", "`a`", '"a b"', "`a\\`b`")] == [
        "a", "a", "a b", "a`b",
    ]  # fmt: skip
    assert split_arguments("a, f(b, c), 'd,)', `e,`") == ["a", "f(b, c)", "'d,)'", "`e,`"]


def test_engine_errors_keep_their_code() -> None:
    twice = "Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'x'."
    assert engine_fault(RuntimeError(f"Streaming query failed: {twice}")).code == 115
    assert engine_fault(RuntimeError(twice)).message == "DB::Exception: Unknown setting 'x'."
    assert engine_fault(RuntimeError("no code")).code == 1002
