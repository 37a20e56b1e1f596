"""Packets: what a client says, read; what the server says, as bytes."""

import ast
import struct
from dataclasses import dataclass

from clickhouse_driver import defines
from clickhouse_driver.protocol import ServerPacketTypes
from clickhouse_driver.settings.available import settings as typed_settings
from clickhouse_driver.settings.types import SettingUInt64

from .blocks import header_of, string, varint
from .engine import Setting
from .faults import ProtocolFault, ServerFault
from .inbound import Inbound

# Query parameters and the elapsed time are in; later revisions lengthen the handshake.
REVISION = defines.DBMS_MIN_PROTOCOL_VERSION_WITH_SERVER_QUERY_TIME_IN_PROGRESS

LONGEST_TEXT = 1 << 16
LONGEST_QUERY = 1 << 28
MOST_SETTINGS = 4096

_IMPORTANT = 0x1


@dataclass(frozen=True, slots=True)
class Hello:
    client: str
    revision: int
    database: str
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Query:
    query_id: str
    text: str
    settings: list[Setting]
    params: dict[str, str]
    compressed: bool


def read_hello(inbound: Inbound) -> Hello:
    """A client's first packet, after its type."""
    client = inbound.text(LONGEST_TEXT)
    inbound.varint()  # major version
    inbound.varint()  # minor version
    revision = min(inbound.varint(), REVISION)
    if revision < defines.DBMS_MIN_REVISION_WITH_CLIENT_INFO:
        raise ProtocolFault(f"Client revision {revision} is too old")
    names = (inbound.text(LONGEST_TEXT) for _ in range(3))
    return Hello(client, revision, *names)


def hello(version: tuple[int, int, int], timezone: str, revision: int) -> bytes:
    major, minor, patch = version
    parts = [
        varint(ServerPacketTypes.HELLO), string(defines.DBMS_NAME),
        varint(major), varint(minor), varint(REVISION),
    ]  # fmt: skip
    if revision >= defines.DBMS_MIN_REVISION_WITH_SERVER_TIMEZONE:
        parts.append(string(timezone))
    if revision >= defines.DBMS_MIN_REVISION_WITH_SERVER_DISPLAY_NAME:
        parts.append(string("chdb"))
    if revision >= defines.DBMS_MIN_REVISION_WITH_VERSION_PATCH:
        parts.append(varint(patch))
    return b"".join(parts)


def read_addendum(inbound: Inbound, revision: int) -> None:
    if revision >= defines.DBMS_MIN_PROTOCOL_VERSION_WITH_QUOTA_KEY:
        inbound.text(LONGEST_TEXT)


def read_query(inbound: Inbound, revision: int) -> Query:
    """A Query packet, after its type."""
    query_id = inbound.text(LONGEST_TEXT)
    _skip_client_info(inbound, revision)
    as_text = revision >= defines.DBMS_MIN_REVISION_WITH_SETTINGS_SERIALIZED_AS_STRINGS
    settings = _read_settings(inbound) if as_text else _read_typed_settings(inbound)
    if revision >= defines.DBMS_MIN_REVISION_WITH_INTERSERVER_SECRET:
        inbound.text(LONGEST_TEXT)
    inbound.varint()  # processing stage: always to the end
    compressed = bool(inbound.varint())
    text = inbound.text(LONGEST_QUERY)
    params: dict[str, str] = {}
    if revision >= defines.DBMS_MIN_PROTOCOL_VERSION_WITH_PARAMETERS:
        params = {param.name: _undump(param.value) for param in _read_settings(inbound)}
    return Query(query_id, text, settings, params, compressed)


def _skip_client_info(inbound: Inbound, revision: int) -> None:
    if not inbound.uint8():
        return
    for _ in range(3):
        inbound.text(LONGEST_TEXT)  # initial user, query id, address
    if revision >= defines.DBMS_MIN_PROTOCOL_VERSION_WITH_INITIAL_QUERY_START_TIME:
        inbound.uint64()
    if inbound.uint8() != 1:
        raise ProtocolFault("Only the TCP interface is served")
    for _ in range(3):
        inbound.text(LONGEST_TEXT)  # user of the system, host, client name
    for _ in range(3):
        inbound.varint()  # major and minor version, revision
    if revision >= defines.DBMS_MIN_REVISION_WITH_QUOTA_KEY_IN_CLIENT_INFO:
        inbound.text(LONGEST_TEXT)
    if revision >= defines.DBMS_MIN_PROTOCOL_VERSION_WITH_DISTRIBUTED_DEPTH:
        inbound.varint()
    if revision >= defines.DBMS_MIN_REVISION_WITH_VERSION_PATCH:
        inbound.varint()
    if revision >= defines.DBMS_MIN_REVISION_WITH_OPENTELEMETRY and inbound.uint8():
        inbound.skip(24)  # trace id, span id
        inbound.text(LONGEST_TEXT)
        inbound.uint8()
    if revision >= defines.DBMS_MIN_REVISION_WITH_PARALLEL_REPLICAS:
        for _ in range(3):
            inbound.varint()


def _read_settings(inbound: Inbound) -> list[Setting]:
    settings: list[Setting] = []
    while name := inbound.text(LONGEST_TEXT):
        flags = inbound.varint()
        settings.append(Setting(name, inbound.text(LONGEST_QUERY), bool(flags & _IMPORTANT)))
        if len(settings) > MOST_SETTINGS:
            raise ProtocolFault(f"More than {MOST_SETTINGS} settings")
    return settings


def _read_typed_settings(inbound: Inbound) -> list[Setting]:
    """Settings of old clients: the type of a value is known only from its name."""
    settings: list[Setting] = []
    while name := inbound.text(LONGEST_TEXT):
        kind = typed_settings.get(name)
        if kind is None:
            raise ProtocolFault(f"Unknown setting {name} of an old client", 115)
        numeric = issubclass(kind, SettingUInt64) or kind.__name__ == "SettingBool"
        value = str(inbound.varint()) if numeric else inbound.text(LONGEST_TEXT)
        settings.append(Setting(name, value, important=False))
        if len(settings) > MOST_SETTINGS:
            raise ProtocolFault(f"More than {MOST_SETTINGS} settings")
    return settings


def _undump(value: str) -> str:
    """A parameter comes as a quoted SQL string; chDB wants what is between the quotes."""
    if len(value) < 2 or value[0] != "'" or value[-1] != "'":
        return value
    try:
        return str(ast.literal_eval(value.replace("\0", "\\0")))
    except (SyntaxError, ValueError) as error:
        raise ServerFault(457, f"Cannot read query parameter {value[:100]}") from error


DATA = varint(ServerPacketTypes.DATA) + string("")
TOTALS = varint(ServerPacketTypes.TOTALS) + string("")
EXTREMES = varint(ServerPacketTypes.EXTREMES) + string("")


_PROFILE_EVENTS = header_of(
    [
        ("host_name", "String"),
        ("current_time", "DateTime"),
        ("thread_id", "UInt64"),
        ("type", "Enum8('increment' = 1, 'gauge' = 2)"),
        ("name", "String"),
        ("value", "Int64"),
    ]
)


def insert_receipt(revision: int) -> bytes:
    """What answers each block of an INSERT: profile events, none of which chDB tells."""
    if revision < defines.DBMS_MIN_PROTOCOL_VERSION_WITH_PROFILE_EVENTS_IN_INSERT:
        return b""
    return varint(ServerPacketTypes.PROFILE_EVENTS) + string("") + _PROFILE_EVENTS.body(revision)


def exception(fault: ServerFault) -> bytes:
    return (
        varint(ServerPacketTypes.EXCEPTION)
        + struct.pack("<i", fault.code)
        + string("DB::Exception")
        + string(fault.message)
        + string("")
        + b"\x00"
    )


def progress(revision: int, *, rows: int, size: int, total: int, nanoseconds: int) -> bytes:
    """Rows and bytes read, rows still found to be read and time spent, since the last packet."""
    parts = [varint(ServerPacketTypes.PROGRESS), varint(rows), varint(size), varint(total)]
    if revision >= defines.DBMS_MIN_REVISION_WITH_CLIENT_WRITE_INFO:
        parts += (varint(0), varint(0))
    if revision >= defines.DBMS_MIN_PROTOCOL_VERSION_WITH_SERVER_QUERY_TIME_IN_PROGRESS:
        parts.append(varint(nanoseconds))
    return b"".join(parts)


def profile_info(rows: int, blocks: int, size: int) -> bytes:
    """Rows, blocks and bytes of the whole result. chDB does not tell what LIMIT left out.

    The last flag says "rows before LIMIT are known": clickhouse-client 18 aborts without it.
    """
    return (
        varint(ServerPacketTypes.PROFILE_INFO)
        + varint(rows)
        + varint(blocks)
        + varint(size)
        + b"\x00"
        + varint(rows)
        + b"\x01"
    )


PONG = varint(ServerPacketTypes.PONG)
END_OF_STREAM = varint(ServerPacketTypes.END_OF_STREAM)
