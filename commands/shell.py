"""What every verb shares: settings, streams of output, and errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as ClickHouseError
from kafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from analytics.lookup import UnknownIdentifier
from analytics.steps import BadStep
from commands.plain import plain_json
from deploy.kafka.acls import AclsRefused
from deploy.local.stack import StackError
from privacy.erasure import ErasureError
from producers.mapping import MappingError
from producers.publisher import PublishError
from schemas.settings import Settings, SettingsError, load
from sinks.clickhouse import connect
from sinks.dispatch.endpoints import EndpointsError
from sinks.migrate import MigrationError
from sinks.refusals import explain, is_silent
from sinks.writer import WriterError
from streams.cluster import BrokerUnavailable, GroupInUse
from streams.policy import PolicyError
from streams.rules import RulesError

F = TypeVar("F", bound=Callable[..., Any])
out: Final = Console()
err: Final = Console(stderr=True)
_PATIENCE: Final = 5  # seconds for a database to answer at all
# Errors whose message is one line for people
_OURS: Final = (
    AclsRefused,
    BadStep,
    BrokerUnavailable,
    EndpointsError,
    ErasureError,
    GroupInUse,
    MappingError,
    MigrationError,
    PolicyError,
    PublishError,
    RulesError,
    SettingsError,
    StackError,
    UnknownIdentifier,
    WriterError,
)
# Errors of the clients, whose message is made one
_THEIRS: Final = (ClickHouseError, KafkaError, OSError, EOFError)


class Refused(click.ClickException):
    """Ends the command with exit code 1 and one line on standard error."""

    def show(self, file: Any = None) -> None:  # noqa: ARG002
        err.print("journey:", self.message, style="red", highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Shell:
    """The options that come before a verb."""

    data: Path | None
    debug: bool

    def settings(self, data: Path | None = None) -> Settings:
        """Settings of the environment, the stack of a data folder filling in."""
        return load(data=data or self.data)


def _name_data(context: click.Context, _option: click.Parameter, data: Path | None) -> None:
    if data is not None:
        context.obj = replace(context.obj, data=data)


_data: Final = click.option(
    "--data",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_name_data,
    help="Folder of the local stack.",
)


def verb(function: F) -> F:
    """Give the function the Shell first, and show the errors people can mend in one line.

    `--data` may come after the verb too.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        shell: Shell = click.get_current_context().obj
        try:
            return function(shell, *args, **kwargs)
        except (*_OURS, *_THEIRS) as error:
            if shell.debug:
                raise
            raise Refused(str(error) if isinstance(error, _OURS) else explain(error)) from error

    return _data(run)  # type: ignore[return-value]


@contextmanager
def ledger(settings: Settings) -> Iterator[Client]:
    """A ClickHouse client, closed at the end; refused in one line where we are not served."""
    url = settings.clickhouse.get_secret_value()
    first = connect(url, send_receive_timeout=_PATIENCE)
    try:
        first.execute("SELECT 1")
    except (ClickHouseError, OSError, EOFError) as error:
        if not is_silent(error):
            raise
        host = url.rpartition("@")[2]
        raise Refused(
            f"ClickHouse at {host} does not answer: start the stack with `journey up`, "
            "name its folder with --data, or set JOURNEY_CLICKHOUSE"
        ) from error
    finally:
        first.disconnect()
    client = connect(url)
    try:
        yield client
    finally:
        client.disconnect()


def bar() -> Progress:
    """A progress bar on standard error; nothing where that is not a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def print_json(value: Any) -> None:
    """One JSON document, a line."""
    sys.stdout.write(plain_json(value) + "\n")
