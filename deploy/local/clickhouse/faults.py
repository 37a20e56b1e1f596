"""What can go wrong between a client and the engine, each with ClickHouse's own code."""

import re

# "Code: 60. DB::Exception: ..." with whatever chDB's Python layer put in front of it.
_ENGINE_TEXT = re.compile(r"(?:Code: (\d+)\. )(DB::\w*Exception: .*)", re.DOTALL)

QUERY_WAS_CANCELLED = 394
UNKNOWN_SETTING = 115


class ConnectionClosed(Exception):
    """The client went away, or the server is stopping."""


class ServerFault(Exception):
    """Something the client is told about, as an Exception packet.

    ``code`` is ClickHouse's error code; the text starts with ``DB::Exception:``.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message if message.startswith("DB::") else f"DB::Exception: {message}"


class ProtocolFault(ServerFault):
    """Bytes that are no packet: the connection cannot be used any further."""

    def __init__(self, message: str, code: int = 101) -> None:
        super().__init__(code, message)


def engine_fault(error: BaseException) -> ServerFault:
    """The fault chDB described in words, with the code it named (1002 when it named none)."""
    match = _ENGINE_TEXT.search(str(error))
    if match is None:
        return ServerFault(1002, f"DB::Exception: {error}")
    code, message = int(match[1]), match[2]
    inner = _ENGINE_TEXT.match(message.removeprefix("DB::Exception: "))
    if inner is not None:
        code, message = int(inner[1]), inner[2]
    return ServerFault(code, message)
