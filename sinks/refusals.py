"""Why ClickHouse does not serve us, in one line that names what to mend."""

from __future__ import annotations

import ssl
from typing import Final

from clickhouse_driver.errors import (
    Error,
    ErrorCodes,
    ServerException,
    SocketTimeoutError,
    UnexpectedPacketFromServerError,
)

_SETTING: Final = "JOURNEY_CLICKHOUSE"
_LOGIN: Final = f"see the user and password in {_SETTING}"
_BY_CODE: Final = {
    ErrorCodes.UNKNOWN_USER: _LOGIN,
    ErrorCodes.WRONG_PASSWORD: _LOGIN,
    ErrorCodes.REQUIRED_PASSWORD: _LOGIN,
    516: _LOGIN,  # AUTHENTICATION_FAILED
    ErrorCodes.UNKNOWN_DATABASE: f"run `journey setup`, or see the database in {_SETTING}",
    497: "see deploy/clickhouse/users.sql",  # ACCESS_DENIED
}
# What OpenSSL and the driver say, in order -> what to do.
_BY_WORDS: Final = {
    "CERTIFICATE_VERIFY_FAILED": f"name the CA in {_SETTING}: ?ca_certs=FILE",
    "WRONG_VERSION_NUMBER": f"there is no TLS: clickhouse:// and not clickhouses:// in {_SETTING}",
    "No such file or directory": f"see the files in {_SETTING}",
    "Connection reset by peer": f"where it speaks TLS, clickhouses:// in {_SETTING}",
}
_LONGEST: Final = 300


def is_silent(error: Exception) -> bool:
    """Whether nothing answered, rather than refused to serve us."""
    return isinstance(error, SocketTimeoutError) or "Connection refused" in str(error)


def explain(error: Exception) -> str:
    """What an error of clickhouse-driver says, and the fix where we know one; one line."""
    said = " ".join(str(error).partition("Stack trace")[0].split())[:_LONGEST]
    said = (said or type(error).__name__).rstrip(".")
    if isinstance(error, ServerException):
        fix = _BY_CODE.get(error.code or 0, "")
    elif isinstance(error, EOFError | UnexpectedPacketFromServerError):
        fix = _BY_WORDS["Connection reset by peer"]
    elif isinstance(error, Error | ssl.SSLError):
        fix = next((fix for words, fix in _BY_WORDS.items() if words in said), "")
    else:
        fix = ""
    return f"{said}: {fix}" if fix else said
