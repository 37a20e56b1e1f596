"""The endpoints file: where each channel is sent, YAML read once in a composition root."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.policy import SMTP
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from schemas.settings import PREFIX, SettingsError, secret
from sinks.dispatch.message import is_email
from sinks.dispatch.signature import keys_of
from streams.yaml_file import Fault, FileError, Lines, Strict, load_file, told

Secrets = Callable[[str], SecretStr]
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class EndpointsError(FileError):
    """The endpoints file is missing or invalid."""


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = None
    if not sound or not value.isprintable() or " " in value:
        raise ValueError("is no URL; write one such as https://crm.example.com/outreach")
    if parts.username is not None or parts.fragment:
        raise ValueError("has a login or a fragment; name a secret under headers instead")
    return value


def _variable(value: str) -> str:
    if not _NAME.fullmatch(value) or value.startswith(PREFIX):
        raise ValueError(
            "is no name of an environment variable; write one such as CRM_SECRET, "
            f"not beginning with {PREFIX}, and put the secret there"
        )
    return value


def _sender(value: Any) -> Any:
    try:
        (found,) = SMTP.header_factory("from", value).addresses
    except (ValueError, TypeError, AttributeError, HeaderParseError, IndexError):
        raise ValueError("is no sender; write it as Care <care@example.com>") from None
    if not is_email(found.addr_spec):
        raise ValueError("is no sender; write it as Care <care@example.com>")
    return found


Url = Annotated[str, AfterValidator(_url)]
Variable = Annotated[str, AfterValidator(_variable)]
Seconds = Annotated[float, Field(ge=0.1, le=20)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Concurrency = Annotated[int, Field(ge=1, le=64)]


class Endpoint(Strict):
    """What every endpoint has. `timeout` is in seconds, `concurrency` attempts at a time."""

    timeout: Seconds = 10.0
    concurrency: Concurrency = 8
    ca: Path | None = None  # PEM file of the CAs that sign its certificate; else the system's


class Webhook(Endpoint):
    """An HTTP endpoint that takes signed JSON. Secrets are names of environment variables."""

    url: Url
    secret: Variable
    headers: dict[HeaderName, Variable] = Field(default_factory=dict)


class Gateway(Webhook):
    """An SMS gateway; with `to: yes` it is given the phone that the `address` endpoint knows."""

    to: bool = False


class Mail(Endpoint):
    """An SMTP server."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/@]+$")]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str | None = None
    password: Variable | None = None
    sender: Annotated[Address, BeforeValidator(_sender), Field(alias="from")]
    concurrency: Concurrency = 4

    model_config = Strict.model_config | {"arbitrary_types_allowed": True}

    @model_validator(mode="after")
    def _login(self) -> Mail:
        if (self.username is None) != (self.password is None):
            raise ValueError("needs username and password, or neither")
        if self.tls == "none" and self.username is not None:
            raise ValueError("would send its password in the clear; set tls to starttls")
        return self


class Survey(Strict):
    """Where a survey is answered: a signed link, sent by another channel."""

    link: Url
    secret: Variable
    by: Literal["email", "sms"]


class Topic(Strict):
    """Our topic `outreach.messages`."""


class Endpoints(Strict):
    """The file: an endpoint for each channel of rules that has one, and `address`."""

    webhook: Webhook | None = None
    call_task: Webhook | None = None
    sms: Gateway | None = None
    email: Mail | None = None
    survey_link: Survey | None = None
    kafka: Annotated[Topic | None, BeforeValidator(lambda given: given or {})] = None
    address: Webhook | None = None

    @model_validator(mode="after")
    def _whole(self) -> Endpoints:
        if not self.model_fields_set - {"address"}:
            raise ValueError(f"names no channel; known: {', '.join(type(self).model_fields)}")
        asks = [name for name, one in (("email", self.email), ("sms", self.sms)) if _asks(one)]
        if asks and self.address is None:
            raise ValueError(f"{asks[0]} needs the endpoint address, which tells where to")
        if self.survey_link is not None and getattr(self, self.survey_link.by) is None:
            raise ValueError(f"survey_link goes by {self.survey_link.by}, which is not there")
        return self


def _asks(endpoint: Mail | Gateway | None) -> bool:
    return isinstance(endpoint, Mail) or (endpoint is not None and endpoint.to)


def load_endpoints(path: Path, secrets: Secrets = secret) -> Endpoints:
    """The endpoints of a YAML file, with every secret there and sound. Raises EndpointsError."""
    found, given, lines = load_file(path, Endpoints, EndpointsError)
    faults = [
        fault
        for name in Endpoints.model_fields
        if (one := getattr(found, name)) is not None
        for fault in _secret_faults(path, lines, given, name, one, secrets)
    ]
    if faults:
        raise EndpointsError(*sorted(faults, key=lambda fault: fault.line))
    return found


def context_of(endpoint: Endpoint) -> ssl.SSLContext:
    """How to talk TLS to an endpoint: host names are checked."""
    return ssl.create_default_context(cafile=endpoint.ca)


def _secret_faults(
    path: Path, lines: Lines, given: Any, name: str, one: Any, secrets: Secrets
) -> list[Fault]:
    faults = []

    def check(at: tuple[str, ...], look: Callable[[], object]) -> None:
        try:
            look()
        except (SettingsError, ValueError, OSError) as error:
            told_ = error.strerror if isinstance(error, OSError) else str(error)
            faults.append(Fault(path, lines[at], told(at, given), str(told_)))

    if (key := getattr(one, "secret", None)) is not None:
        check((name, "secret"), lambda: _keys(key, secrets))
    if isinstance(one, Mail) and one.password is not None:
        password = one.password
        check((name, "password"), lambda: secrets(password))
    for header, variable in getattr(one, "headers", {}).items():
        check((name, "headers", header), lambda variable=variable: secrets(variable))  # type: ignore[misc]
    if isinstance(one, Endpoint) and one.ca is not None:
        check((name, "ca"), lambda: context_of(one))
    return faults


def _keys(name: str, secrets: Secrets) -> list[bytes]:
    try:
        return keys_of(secrets(name).get_secret_value())
    except ValueError as error:
        raise ValueError(f"what the environment variable {name} has {error}") from None
