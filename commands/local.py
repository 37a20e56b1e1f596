"""`journey up` and `journey demo`: the local stack in the foreground."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from commands.render import show_demo
from commands.shell import Refused, Shell, bar, err, out, print_json, verb
from deploy.local import demo as demonstration
from deploy.local.stack import Stack
from schemas.settings import KEY_FILE, Settings

_INTERRUPTED = 130  # as shells report SIGINT
_INSIST_SECONDS = 5.0
_port_base = click.option("--port-base", type=int, help="First of the ports; else free ones.")
_workers = click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Worker processes."
)


@click.command()
@_port_base
@_workers
@click.option("--fresh", is_flag=True, help="Start with an empty ledger.")
@click.option("--rebuild", is_flag=True, help="Rebuild state from the ledger though Kafka kept it.")
@click.option("--observe", is_flag=True, help="Also run Prometheus, Alertmanager and its receiver.")
@verb
def up(
    shell: Shell, port_base: int | None, workers: int, fresh: bool, rebuild: bool, observe: bool
) -> None:
    """Run broker, database, workers and sink until Ctrl-C.

    Starting again on the same data goes on. The embedded broker forgets, so state is rebuilt from
    the ledger; Apache Kafka, which JOURNEY_KAFKA_JARS puts in its place, has kept it.
    """
    with _running(shell.settings(), port_base, workers, fresh, rebuild, observe) as stack:
        settings = stack.settings
        listening = {
            "kafka": settings.kafka,
            "ClickHouse": settings.clickhouse.get_secret_value(),
            "data": settings.data,
            **stack.urls(),
        }
        for name, where in listening.items():
            out.print(f"{name[0].upper()}{name[1:]:<13}{where}")
        out.print("Ready for touchpoints; Ctrl-C stops.")
        while True:
            stack.watch()
            time.sleep(0.5)


@click.command()
@_port_base
@_workers
@click.option("--touchpoints", default=20_000, show_default=True, help="Touchpoints to send.")
@click.option("--customers", default=1_500, show_default=True, help="Customers to simulate.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same customers.")
@click.option("--rate", type=float, help="Touchpoints a second; as fast as it goes by default.")
@click.option("--once", is_flag=True, help="End after the summary.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")
@verb
def demo(
    shell: Shell,
    port_base: int | None,
    workers: int,
    touchpoints: int,
    customers: int,
    seed: int,
    rate: float | None,
    once: bool,
    as_json: bool,
) -> None:
    """Simulate customers and watch them flow through a stack of its own.

    The folder of a demonstration is emptied first. With --once, exit code 0 means that every
    unique valid touchpoint sent can be queried and none is counted twice.
    """
    folder = _own_folder(shell.data or shell.settings().data / "demo")
    outcome: demonstration.Outcome | None = None
    # Simulated customers are nobody to call.
    settings = shell.settings(folder).model_copy(update={"endpoints_file": None})
    with _running(settings, port_base, workers, fresh=True) as stack:
        with bar() as progress:
            sent = progress.add_task("sent", total=touchpoints)
            stored = progress.add_task("stored", total=touchpoints)

            def moved(sent_now: int, stored_now: int) -> None:
                progress.update(sent, completed=sent_now)
                progress.update(stored, completed=stored_now)

            outcome = demonstration.run(stack, touchpoints, customers, seed, rate, moved)
        if as_json:
            print_json(outcome.as_json())
        else:
            show_demo(out, outcome)
        if not once:
            _go_on(stack, customers, seed, as_json)
    if outcome is None:
        raise SystemExit(_INTERRUPTED)
    raise SystemExit(0 if outcome.exact else 1)


def _own_folder(folder: Path) -> Path:
    """The folder, which a demonstration may empty: it made it, or there is no ledger in it."""
    mark = folder / "demo"
    if (folder / KEY_FILE).exists() and not mark.exists():
        raise Refused(f"{folder} has a ledger of its own: choose another folder with --data")
    with suppress(OSError):  # starting the stack tells what is wrong
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return folder


def _go_on(stack: Stack, customers: int, seed: int, as_json: bool) -> None:
    """Keep a little traffic flowing until Ctrl-C."""
    if not as_json:
        out.print(
            f"\nGoing on with 50 touchpoints a second until Ctrl-C. In another terminal:\n"
            f"  journey --data {stack.settings.data} status\n"
            f"  journey --data {stack.settings.data} customers"
        )
    for more in count(seed + 1):
        demonstration.run(stack, 500, customers, more, 50.0, lambda *_: None)


@contextmanager
def _running(
    settings: Settings,
    port_base: int | None,
    workers: int,
    fresh: bool,
    rebuild: bool = False,
    observe: bool = False,
) -> Iterator[Stack]:
    """A stack from start to stop, which SIGTERM ends as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    with bar() as progress:
        task = progress.add_task("starting", total=None)
        stack = Stack(settings, workers, port_base, _reporter(progress, task), observe)
        try:
            stack.start(fresh, rebuild)
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, _insist)
    try:
        yield stack
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        err.print("stopping", highlight=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            stack.stop()
        except KeyboardInterrupt:  # twice: without waiting for what is on its way
            stack.stop(drain=False)


def _reporter(progress: Progress, task: Any) -> Any:
    told = ""

    def report(doing: str, done: int, of: int) -> None:
        nonlocal told
        progress.update(task, description=doing, completed=done, total=of or None)
        if doing != told and (progress.finished or not progress.live.is_started):
            told = doing
            stamp = datetime.now(UTC).strftime("%H:%M:%S")
            err.print(f"{stamp} {doing}", highlight=False)

    return report


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _insist(*_: object) -> None:
    """Interrupt, and again if that is lost: kafka-python swallows it while it connects."""
    signal.setitimer(signal.ITIMER_REAL, _INSIST_SECONDS)
    raise KeyboardInterrupt
