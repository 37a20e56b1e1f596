"""Run it with `make faults`, or `python -m tests.faults --help`."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from rich.console import Console

from deploy.local.kafka import KafkaMissing
from deploy.local.process import StartFailed
from tests.faults import stream, summary
from tests.faults.check import check
from tests.faults.injections import FAULTS, planned
from tests.faults.network import Bridged, Loopback, Network, NoNamespaces, isolate
from tests.faults.pipeline import Pipeline
from tests.faults.progress import Progress
from tests.faults.run import Run, Stuck
from tests.faults.truth import truth_of

_ISOLATED: Final = "--isolated"
_CALM_SECONDS: Final = 8.0  # before the first fault comes, and after the last
out: Final = Console(highlight=False, soft_wrap=True, width=110)


def main() -> int:
    """0 where everything equals the oracle's, 1 where not, 2 where the run cannot start."""
    options = _options()
    try:
        if not options.no_partitions and not options.isolated:
            isolate("tests.faults", [_ISOLATED, *sys.argv[1:]])
        network: Network = Loopback() if options.no_partitions else Bridged()
        return _run(options, network)
    except NoNamespaces as error:
        print(f"faults: {error}; run as root, or with --no-partitions", file=sys.stderr)
    except (KafkaMissing, StartFailed) as error:
        print(f"faults: {error}", file=sys.stderr)
    return 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("--touchpoints", type=int, default=1_000_000)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--gap", type=float, nargs=2, default=(7.0, 12.0), help="seconds between faults, from to"
    )
    parser.add_argument("--only", help="faults whose kind has this in its name")
    parser.add_argument("--no-partitions", action="store_true", help="cut no links")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds without a record")
    parser.add_argument("--folder", type=Path, default=Path("build/faults"), help="of the run")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a good run")
    parser.add_argument(_ISOLATED, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(options: argparse.Namespace, network: Network) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = options.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kinds = tuple(
        fault
        for fault in FAULTS
        if (network.severable or not fault.needs_links) and (options.only or "") in fault.kind
    )
    plan = planned(options.faults, options.seed, options.gap, kinds)
    plan = [(at + _CALM_SECONDS, fault, lasts) for at, fault, lasts in plan]
    seconds = (plan[-1][0] if plan else 0.0) + _CALM_SECONDS
    until = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    sent = folder / "stream"
    pipeline = Pipeline(folder, network, sent, rate=options.touchpoints / seconds)
    key, region = pipeline.settings.identity_key_bytes(), pipeline.settings.phone_region
    stream.write(sent, options.touchpoints, options.seed, until, key, region)
    _say(f"{options.touchpoints:,} touchpoints, {len(plan)} faults, {seconds:,.0f} s")
    began = time.monotonic()
    stuck = ""
    checks = []
    try:
        pipeline.start()
        with Progress(pipeline.settings) as progress:
            run = Run(pipeline, progress, options.touchpoints, Random(options.seed), _say)
            run.inject(plan)
            try:
                run.settle(options.patience)
            except Stuck as error:
                stuck = str(error)
            took = time.monotonic() - began
        _say(f"at rest after {took:,.0f} s; computing the truth")
        truth = truth_of(sent, key, region, datetime.now(UTC))
        for comparison in check(pipeline.settings, pipeline.clickhouse(), truth):
            _say(f"{comparison.name}: {'exact' if comparison.is_exact else 'NOT EXACT'}")
            checks.append(comparison)
    finally:
        pipeline.stop()
    lost, doubled = sum(c.lost for c in checks), sum(c.doubled for c in checks)
    unrecovered = sum(not recovery.recovered for recovery in run.recoveries)
    good = not stuck and not unrecovered and all(c.is_exact for c in checks)
    figures: dict[str, Any] = {
        "good": good,
        "touchpoints": options.touchpoints,
        "faults": len(run.recoveries),
        "seed": options.seed,
        "seconds": round(took, 1),
        "lost": lost,
        "doubled": doubled,
        "different": sum(c.different for c in checks),
        "not_recovered": unrecovered,
        "stuck": stuck,
        "partitions_cut": network.severable,
        "recovery": summary.recovery_table(run.recoveries),
        "checks": summary.checks_table(checks),
        "timeline": summary.timeline(run.recoveries, began),
        "most_unread": progress.most_behind,
        "peak_memory_mb": {name: round(n / 2**20) for name, n in pipeline.peaks.items()},
        "ended_stuck": dict(pipeline.stuck),
        "own_exits": {f"{name} {code}": n for (name, code), n in pipeline.exits.items()},
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    summary.show(out, figures)
    for name in ("most_unread", "peak_memory_mb", "ended_stuck", "own_exits"):
        out.print(f"{name.replace('_', ' ')}: {figures[name]}", markup=False)
    if stuck:
        out.print(stuck)
    out.print(
        f"{len(run.recoveries)} faults over {options.touchpoints:,} touchpoints in {took:,.0f} s: "
        f"lost = {lost}, doubled = {doubled}" + ("" if good else f"; logs and data are in {folder}")
    )
    if good and not options.keep:
        shutil.rmtree(folder)
    return 0 if good else 1


def _say(line: str) -> None:
    out.print(f"{datetime.now(UTC):%H:%M:%S} {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
