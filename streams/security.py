"""How our clients prove who they are to Kafka, and why Kafka would not have them."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import closing
from typing import Any, Final

from kafka.net.sasl import get_sasl_mechanism

from schemas.settings import PREFIX, Settings

_SECONDS: Final = 2.0
_DEFAULT_PORT: Final = 9092
# Kafka's API keys and error codes (kafka.apache.org/protocol).
_SASL_HANDSHAKE: Final = 17
_SASL_AUTHENTICATE: Final = 36
_METADATA: Final = 3
_UNSUPPORTED_MECHANISM: Final = 33


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that kafka-python's and aiokafka's clients share; SettingsError."""
    options: dict[str, Any] = {"security_protocol": settings.kafka_security}
    tls = settings.kafka_tls()
    if tls is not None:
        options["ssl_context"] = tls
    if settings.kafka_password is not None:
        options |= {
            "sasl_mechanism": settings.kafka_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return options


def why_unreachable(settings: Settings) -> str:
    """Why no client comes through to Kafka, in one line that names the setting to mend.

    Clients only say that they could not bootstrap. Takes up to some seconds, as it tries itself.
    """
    silence = "does not answer: start one with `journey up`, or set JOURNEY_KAFKA"
    return refusal(settings) or f"Kafka at {settings.kafka} {silence}"


def refusal(settings: Settings) -> str | None:
    """Why Kafka would not have us, in one line that names the setting; None where it is away."""
    for server in settings.kafka.split(","):
        host, _, port = server.strip().rpartition(":")
        if not port.isdigit():
            host, port = server.strip(), str(_DEFAULT_PORT)
        try:
            connection = socket.create_connection((host, int(port)), _SECONDS)
        except (OSError, OverflowError):
            continue
        with closing(connection):
            fault = _refusal(settings, connection, host, int(port))
        if fault is not None:
            return f"Kafka at {settings.kafka} {fault}"
    return None


def _refusal(settings: Settings, connection: socket.socket, host: str, port: int) -> str | None:
    tls = settings.kafka_tls()
    if tls is None:
        if _speaks_tls(host, port):
            return f"speaks TLS: {_set('SECURITY')} to SSL or SASL_SSL"
    else:
        try:
            connection = tls.wrap_socket(connection, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            return (
                f"has a certificate that is not trusted ({error.verify_message.rstrip('.')}): "
                f"{_set('CA')} to the CA that signed it, and name the host that is in it"
            )
        except TimeoutError:
            return None
        except OSError:
            return f"does not speak TLS: {_set('SECURITY')} to PLAINTEXT or SASL_PLAINTEXT"
    with closing(connection):
        return _refused_login(settings, connection)


def _refused_login(settings: Settings, connection: socket.socket) -> str | None:
    login = settings.kafka_password is not None
    try:
        if login:
            answer = _ask(connection, _SASL_HANDSHAKE, _text(settings.kafka_mechanism), version=1)
        else:
            answer = _ask(connection, _METADATA, struct.pack(">i", 0))
    except ssl.SSLError:
        return f"wants another client certificate: {_set('CERTIFICATE')} to one whose CA it trusts"
    except TimeoutError:
        return None
    except OSError:
        if login:
            return f"takes no login: {_set('SECURITY')} to SSL or PLAINTEXT"
        return f"wants a login: {_set('SECURITY')} to SASL_SSL, with a username and password"
    if not login:
        return None
    code = _error_code(answer)
    if code == _UNSUPPORTED_MECHANISM:
        return f"does not know {settings.kafka_mechanism}: {_set('MECHANISM')} to one it has"
    if code:
        return f"takes no login: {_set('SECURITY')} to SSL or PLAINTEXT"
    if not _logs_in(settings, connection):
        user = settings.kafka_username
        return f"refuses the login of {user}: {_set('USERNAME')} and {PREFIX}KAFKA_PASSWORD anew"
    return None


def _logs_in(settings: Settings, connection: socket.socket) -> bool:
    login = get_sasl_mechanism(settings.kafka_mechanism)(**client_options(settings))
    try:
        while not login.is_done():
            token = login.auth_bytes()
            body = struct.pack(">i", len(token)) + token
            answer = _ask(connection, _SASL_AUTHENTICATE, body)
            if _error_code(answer):
                return False
            (message,) = struct.unpack_from(">h", answer, 2)
            login.receive(answer[8 + max(0, message) :])
    except (OSError, ValueError):
        return False
    return bool(login.is_authenticated())


def _error_code(answer: bytes) -> int:
    (code,) = struct.unpack_from(">h", answer)
    return int(code)


def _set(name: str) -> str:
    return f"set {PREFIX}KAFKA_{name}"


def _speaks_tls(host: str, port: int) -> bool:
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE  # nothing is sent: only whether there is an answer
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            anyone.wrap_socket(connection).close()
    except OSError:
        return False
    return True


def _ask(connection: socket.socket, api: int, body: bytes, version: int = 0) -> bytes:
    """The answer to a request of Kafka's protocol, without its header."""
    connection.settimeout(_SECONDS)
    request = struct.pack(">hhi", api, version, 1) + _text("journey") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _receive(connection, 4))
    return _receive(connection, length)[4:]


def _receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise ConnectionResetError
        received += chunk
    return received


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()
