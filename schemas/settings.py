"""The one Settings: read once, in a composition root, from the environment or a running stack."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX: Final = "JOURNEY_"
STACK_FILE: Final = "stack.json"
KEY_FILE: Final = "identity.key"


class SettingsError(Exception):
    """A setting is missing or invalid; the message names it and the fix."""


class Settings(BaseModel):
    """Every option of the pipeline. Set as `JOURNEY_<NAME>`; see the table in the README."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path(".journey"), description="Folder of the local stack.")
    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma-separated.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Kafka's security protocol: TLS, a login, both or neither."
    )
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How to log in to Kafka, where its security is SASL."
    )
    kafka_username: str | None = Field(None, description="User to log in to Kafka as.")
    kafka_password: SecretStr | None = Field(None, description="The password of that user.")
    kafka_ca: Path | None = Field(
        None, description="PEM file of the CAs that sign Kafka's certificates; else the system's."
    )
    kafka_certificate: Path | None = Field(
        None, description="PEM file of our own certificate, where Kafka asks clients for one."
    )
    kafka_key: Path | None = Field(None, description="PEM file of its private key, unencrypted.")
    clickhouse: SecretStr = Field(
        SecretStr("clickhouse://default@127.0.0.1:9000/journey"),
        description="ClickHouse URL, as clickhouse-driver reads it.",
    )
    clickhouse_cluster: Annotated[str, Field(pattern=r"^\w*$")] = Field(
        "",
        description="ClickHouse's cluster over whose shards and replicas `journey setup` makes the "
        "tables; none: one server.",
    )
    kafka_jars: Path | None = Field(
        None,
        description="Folder of Apache Kafka's jars, for a local stack whose broker remembers; "
        "`make kafka` fills `.kafka/lib`.",
    )
    partitions: Annotated[int, Field(ge=1, le=1024)] = Field(
        4, description="Partitions of each topic, when we create it."
    )
    replication: Annotated[int, Field(ge=1, le=5)] = Field(
        1, description="Replicas of each topic, when we create it."
    )
    identity_key: SecretStr | None = Field(
        None,
        description="Key of the HMAC over e-mails and phones; a local stack makes its own.",
    )
    phone_region: Annotated[str, Field(pattern="^[A-Z]{2}$")] = Field(
        "IR", description="Region of phone numbers written without a country code."
    )
    own_contacts: str = Field(
        "", description="Our own phones and e-mails, comma-separated: they identify nobody."
    )
    health_file: Path | None = Field(
        None, description="Weights and half-lives of health, in TOML; see docs/health.md."
    )
    dead_letter_limit: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="Share of dead letters among a partition's last 1,000 records over which a "
        "worker stops; 1 never stops.",
    )
    state: Path | None = Field(
        None, description="Folder of a worker's own state on disk; none: in memory, read anew."
    )
    standby: bool = Field(
        False, description="Whether a worker keeps the state of partitions it does not own, too."
    )
    rules_file: Path | None = Field(
        None, description="Rules of outreach and their guard, in YAML; see docs/outreach.md."
    )
    endpoints_file: Path | None = Field(
        None, description="Where outreach is sent, in YAML; see docs/dispatch.md."
    )
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9464, description="Port of a process's /metrics, /live and /ready; 0 picks a free one."
    )
    metrics_host: str = Field(
        "127.0.0.1", description="Address that port is opened on; 0.0.0.0 for every one."
    )
    receiver_token: SecretStr | None = Field(
        None, description="Bearer token that Alertmanager shows to `journey receive`."
    )
    receiver_host: str = Field(
        "127.0.0.1", description="Address `journey receive` listens on; 0.0.0.0 for every one."
    )
    receiver_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9465, description="Port of `journey receive`; 0 picks a free one."
    )
    stuck_seconds: Annotated[float, Field(ge=3, le=3600)] = Field(
        30.0, description="A process is stuck when work waits and nothing moves for so long."
    )

    def kafka_tls(self) -> ssl.SSLContext | None:
        """How to talk TLS to Kafka, host names checked; None where its security has no TLS.

        Raises SettingsError naming the file that is not what it should be.
        """
        if not self.kafka_security.endswith("SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.kafka_ca)
        except OSError as error:
            raise _unreadable("KAFKA_CA", self.kafka_ca, "the CA certificates", error) from None
        if self.kafka_certificate is not None:
            try:
                # A password, or OpenSSL would ask the terminal for that of an encrypted key.
                context.load_cert_chain(self.kafka_certificate, self.kafka_key, password="")
            except OSError as error:
                wrong = "KAFKA_KEY" if self.kafka_certificate.is_file() else "KAFKA_CERTIFICATE"
                path = self.kafka_key if wrong == "KAFKA_KEY" else self.kafka_certificate
                content = "the certificate and its own unencrypted key"
                raise _unreadable(wrong, path, content, error) from None
        return context

    def identity_key_bytes(self) -> bytes:
        """The HMAC key: the setting, else the data folder's own; SettingsError where none is."""
        if self.identity_key is not None:
            return self.identity_key.get_secret_value().encode()
        try:
            return (self.data / KEY_FILE).read_bytes().strip()
        except FileNotFoundError:
            raise SettingsError(
                f"{PREFIX}IDENTITY_KEY is not set and {self.data / KEY_FILE} does not exist: "
                "set the key, or start a local stack with `journey up`"
            ) from None


def load(environ: Mapping[str, str] = os.environ, data: Path | None = None) -> Settings:
    """Settings from `JOURNEY_*`; what is unset comes from the stack running on the data folder.

    Raises SettingsError naming the variable that is unknown or invalid.
    """
    given: dict[str, object] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }
    if data is not None:
        given["data"] = data
    folder = Path(str(given.get("data", Settings.model_fields["data"].default)))
    try:
        recorded = json.loads((folder / STACK_FILE).read_text())["settings"]
    except (FileNotFoundError, NotADirectoryError):
        recorded = {}
    except (ValueError, KeyError, TypeError):
        raise SettingsError(
            f"{folder / STACK_FILE} is not what `journey up` wrote: remove it"
        ) from None
    try:
        settings = Settings.model_validate(recorded | given)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
        fix = f"known settings: {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise SettingsError(f"{name}: {fix}") from None
    _check_kafka(settings)
    _check_clickhouse(settings)
    return settings


def secret(name: str, environ: Mapping[str, str] = os.environ) -> SecretStr:
    """A secret that a file names by its environment variable; SettingsError where it is not set."""
    value = environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"the environment variable {name} is not set: put the secret into it")
    return SecretStr(value)


def _check_clickhouse(settings: Settings) -> None:
    """Raise SettingsError, without the URL and its password, where it is not one."""
    try:
        parts = urlsplit(settings.clickhouse.get_secret_value())
        sound = parts.scheme in {"clickhouse", "clickhouses"} and parts.hostname
        _ = parts.port
    except ValueError:
        sound = None
    if not sound:
        raise SettingsError(
            f"{PREFIX}CLICKHOUSE is not a URL of ClickHouse: write it as "
            "clickhouse://user:password@host:9000/database, with TLS clickhouses://; special "
            "characters in the password as %-escapes"
        )


def _check_kafka(settings: Settings) -> None:
    """Raise SettingsError where Kafka's settings do not go together."""
    security = settings.kafka_security
    tls, login = security.endswith("SSL"), security.startswith("SASL")
    # setting -> what it is given as, whether it is of use, and whether it is needed
    rules: dict[str, tuple[object, bool, bool]] = {
        "KAFKA_USERNAME": (settings.kafka_username, login, login),
        "KAFKA_PASSWORD": (settings.kafka_password, login, login),
        "KAFKA_CA": (settings.kafka_ca, tls, False),
        "KAFKA_CERTIFICATE": (settings.kafka_certificate, tls, settings.kafka_key is not None),
        "KAFKA_KEY": (settings.kafka_key, tls, settings.kafka_certificate is not None),
    }
    for name, (value, useful, needed) in rules.items():
        if value and not useful:
            kind = "SASL_SSL" if login or name in {"KAFKA_USERNAME", "KAFKA_PASSWORD"} else "SSL"
            raise SettingsError(
                f"{PREFIX}{name} is set, and {PREFIX}KAFKA_SECURITY={security} makes no use of "
                f"it: set that to {kind}, or unset {PREFIX}{name}"
            )
        if needed and not value:
            why = f"{PREFIX}KAFKA_SECURITY={security}"
            if name in _PAIR:
                why = f"{PREFIX}{_PAIR[name]}"
            raise SettingsError(f"{PREFIX}{name} is not set, and {why} needs it: set both")
    settings.kafka_tls()


_PAIR: Final = {"KAFKA_CERTIFICATE": "KAFKA_KEY", "KAFKA_KEY": "KAFKA_CERTIFICATE"}


def _unreadable(name: str, path: Path | None, content: str, error: OSError) -> SettingsError:
    fault = error.strerror if not isinstance(error, ssl.SSLError) else "not valid PEM"
    return SettingsError(f"{PREFIX}{name}={path}: {fault}; name a PEM file of {content}")
