"""`journey fit-value` and `journey rescore`: models and the ledger brought up to date."""

from __future__ import annotations

import time
from pathlib import Path

import click

from analytics.purchases import purchase_days
from commands.inspect import as_of_option
from commands.shell import Refused, Shell, bar, ledger, out, verb
from schemas.settings import PREFIX
from sinks import rescore as rescoring
from streams.core.evidence import DAY_MS
from streams.core.sentiment import VERSION
from streams.core.value_fit import FitError
from streams.core.value_ledger import fit_ledger
from streams.policy import load_policy, save_value

_SETTING = f"{PREFIX}HEALTH_FILE"


@click.command("fit-value")
@click.option(
    "--out",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"Policy file to write; the one that {_SETTING} names by default.",
)
@as_of_option
@verb
def fit_value(shell: Shell, file: Path | None, as_of: int | None) -> None:
    """Fit customer value on the orders of the ledger: BG/NBD, and Gamma-Gamma by currency.

    Only the [value] tables of the policy file are replaced.
    """
    settings = shell.settings()
    path = file or settings.health_file or settings.data / "health.toml"
    like = load_policy(path if path.exists() else None).value
    today = (time.time_ns() // 1_000_000 if as_of is None else as_of) // DAY_MS
    began = time.monotonic()
    with ledger(settings) as client, bar() as progress:
        progress.add_task("fitting", total=None)
        try:
            model, purchases, spends = fit_ledger(purchase_days(client, today), today, like)
        except FitError as error:
            raise Refused(str(error)) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    save_value(path, model)
    out.print(
        f"{purchases.customers:,} customers fitted in {time.monotonic() - began:.1f} s: "
        f"r {model.r:.4g}, alpha {model.alpha:.4g}, a {model.a:.4g}, b {model.b:.4g}, "
        f"log-likelihood {purchases.log_likelihood:,.1f}",
        highlight=False,
        soft_wrap=True,
    )
    for currency, spend in sorted(model.spend.items()):
        out.print(
            f"{currency}: {spends[currency].customers:,} who bought again, "
            f"p {spend.p:.4g}, q {spend.q:.4g}, v {spend.v:.6g}, high value from {spend.high:,.0f}",
            highlight=False,
            soft_wrap=True,
        )
    out.print(f"written to {path}; workers read it when they start", highlight=False)
    if settings.health_file is None or settings.health_file.absolute() != path.absolute():
        out.print(f"set {_SETTING}={path.absolute()}", highlight=False, soft_wrap=True)


@click.command()
@verb
def rescore(shell: Shell) -> None:
    """Score the ledger's texts again where another version of the scorer scored them.

    Start workers of this version first, so that nothing stale comes after. Live state follows when
    it is next rebuilt from the ledger: by `journey up --rebuild`, or `journey rebuild`.
    """
    with ledger(shell.settings()) as client, bar() as progress:
        task = progress.add_task("rescoring", total=rescoring.stale(client))
        done = rescoring.rescore(
            client,
            time.time_ns() // 1_000_000,
            lambda texts: progress.update(task, completed=texts),
        )
    out.print(
        f"{done.texts:,} texts rescored by version {VERSION}, {done.changed:,} of them differently",
        highlight=False,
    )
    if done.changed:
        out.print(
            "live state has the old scores until it is rebuilt: stop and `journey up --rebuild`, "
            "or see “A new scorer” in docs/health.md",
            highlight=False,
            soft_wrap=True,
        )
