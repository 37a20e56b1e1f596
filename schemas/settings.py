"""The one Settings: read once, in a composition root, from the environment or a running stack."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

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
    clickhouse: SecretStr = Field(
        SecretStr("clickhouse://default@127.0.0.1:9000/journey"),
        description="ClickHouse URL, as clickhouse-driver reads it.",
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
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        9464, description="Port of a process's /metrics; 0 picks a free one."
    )

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
        return Settings.model_validate(recorded | given)
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
        fix = f"known settings: {known}" if first["type"] == "extra_forbidden" else first["msg"]
        raise SettingsError(f"{name}: {fix}") from None
