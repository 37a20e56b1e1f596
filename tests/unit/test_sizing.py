"""Sizes of a load whose every number can be followed by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from cli import main
from schemas.topics import TOPICS
from streams.core import sizing
from streams.core.sizing import CLICKHOUSE, MEASURED, Figures, Load, Part, TooLarge, size

# A worker does 1,000 a second, a sink 2,000, a core of ClickHouse or the broker 4,000.
FIGURES = Figures(
    worker_seconds=0.001,
    sink_seconds=0.0005,
    clickhouse_seconds=0.00025,
    broker_seconds=0.00025,
    log_bytes={"touchpoints": 500.0, "journeys": 250.0},
    changelog_bytes=1_000.0,
    ledger_bytes=100.0,
    table_bytes=400.0,
    state_bytes=700.0,
    worker_memory=200e6,
    identity_memory=600.0,
    anchors_per_customer=2.0,
)
LOAD = Load(peak=2_000, average=1_000, customers=1_000_000, keep_days=365)


def parts(load: Load, figures: Figures = FIGURES) -> dict[str, Part]:
    return {part.name: part for part in size(load, figures).parts}


def test_processes_are_busy_half_of_the_time() -> None:
    found = parts(LOAD)
    assert found["worker"].count == 4  # 2,000 x 1 ms is 2 cores
    assert found["sink"].count == 2
    assert found["worker"].carries == 4_000
    assert size(LOAD, FIGURES).partitions == 12
    assert size(replace(LOAD, peak=10_000), FIGURES).partitions == 48  # twice 20, in dozens


def test_there_are_never_fewer_than_an_outage_of_one_needs() -> None:
    found = parts(Load(1, 1, 1, 1))
    assert {name: part.count for name, part in found.items()} == {
        "worker": 2,
        "sink": 2,
        "broker": 3,
        "shard": 1,
    }


def test_disks_have_what_is_kept_on_as_many_replicas() -> None:
    found, made = parts(LOAD), size(LOAD, FIGURES)
    # 86.4 million touchpoints a day: 750 bytes on three brokers, 100 on two servers.
    assert made.log_gb_per_day == pytest.approx(194.4)
    assert made.ledger_gb_per_day == pytest.approx(17.28)
    # Eight days of what is kept for seven; and 2 million anchors' changelogs.
    assert found["broker"].disk_gb * found["broker"].count * 0.7 == pytest.approx(1_561, abs=3)
    # 365 days of 8.64 GB and 0.8 GB of other tables do not fit one server's 2 TB at 70 %.
    assert found["shard"].count == 3
    assert found["shard"].disk_gb == pytest.approx(1_503, abs=2)
    assert "3 by disk" in found["shard"].why
    assert found["worker"].disk_gb == 2.0
    assert found["worker"].memory_gb == 1.4  # 200 MB, and 2 million identifiers in one of them


def test_the_bottleneck_is_what_a_growing_rate_fills_first() -> None:
    assert size(LOAD, FIGURES).bottleneck.name == "worker"
    slow = replace(FIGURES, clickhouse_seconds=0.004)
    found = size(LOAD, slow)
    assert parts(LOAD, slow)["shard"].count == 4  # 8 cores of work at a quarter of 8
    assert found.bottleneck.name == "worker"  # 4,000; shards 4 x 8 x 250 x 1/2 = 4,000 as well
    assert size(replace(LOAD, peak=1_990), slow).bottleneck.carries == 4_000
    assert CLICKHOUSE.cores == 8


def test_partitions_that_exist_are_a_limit() -> None:
    assert size(replace(LOAD, partitions=4), FIGURES).partitions == 4
    with pytest.raises(TooLarge, match=r"need 4 workers.*3 partitions carry 1,500"):
        size(replace(LOAD, partitions=3), FIGURES)
    with pytest.raises(TooLarge, match=r"at least as many partitions, of which there are 1,024"):
        size(replace(LOAD, peak=600_000), FIGURES)


@pytest.mark.parametrize("factor", [2, 10])
def test_more_never_needs_less(factor: int) -> None:
    less, more = parts(LOAD), parts(replace(LOAD, peak=2_000 * factor, average=1_000 * factor))
    assert all(more[name].count >= part.count for name, part in less.items())


def test_the_table_was_measured() -> None:
    assert MEASURED.log_bytes.keys() <= {topic.name for topic in TOPICS}, "run bench.sizing"
    assert MEASURED.worker_seconds > MEASURED.sink_seconds > 0
    assert min(MEASURED.clickhouse_seconds, MEASURED.broker_seconds, MEASURED.ledger_bytes) > 0
    assert min(MEASURED.changelog_bytes, MEASURED.state_bytes, MEASURED.table_bytes) > 0


def test_the_verb_prints_what_the_core_says() -> None:
    told = CliRunner().invoke(main, ["size", "--touchpoints-per-second", "900", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.output)
    made = sizing.size(Load(900, 300, 1_000_000, 730))
    assert [part["count"] for part in found["parts"]] == [part.count for part in made.parts]
    assert found["bottleneck"] == made.bottleneck.name
    shown = CliRunner().invoke(main, ["size", "--touchpoints-per-second", "900"])
    assert "partition" in shown.output
    assert made.bottleneck.name in shown.output


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["0"], "--touchpoints-per-second"),
        (["many"], "not a valid float"),
        (["nan"], "nan"),
        (["10", "--average", "11"], "--average 11 is over"),
        (["100000", "--partitions", "2"], "2 partitions carry"),
        (["10", "--customers", "0"], "--customers"),
    ],
)
def test_a_bad_load_is_one_line(asked: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["size", "--touchpoints-per-second", *asked])
    assert done.exit_code != 0
    assert told in done.output
    assert "Traceback" not in done.output
