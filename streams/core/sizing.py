"""How much of everything a rate of touchpoints needs: formulas over figures that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

from schemas.topics import SEGMENT_DAYS, TOPICS

DAY: Final = 86_400  # seconds
GB: Final = 10**9
# Shares of what there is that are planned with. A process that is busy half of the time makes good
# an outage in the time that the outage took.
BUSY: Final = 0.5
SERVING: Final = 0.25  # of a ClickHouse server's cores for inserts and merges; the rest is readers'
FULL: Final = 0.7  # of a disk
REPLICAS_OF_TOPICS: Final = 3
REPLICAS_OF_TABLES: Final = 2
LEAST_PARTITIONS: Final = 12
PARTITIONS_PER_WORKER: Final = 2  # so that as many workers again find partitions
MOST_PARTITIONS: Final = 1_024


class Server(NamedTuple):
    """One broker, or one ClickHouse server."""

    cores: int
    memory_gb: int
    disk_gb: int


BROKER: Final = Server(4, 16, 1_000)
CLICKHOUSE: Final = Server(8, 32, 2_000)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one touchpoint costs, and one anchor; bytes of one replica, on disk.

    CPU seconds of a touchpoint in a worker, a sink, ClickHouse (merges included) and the broker.
    """

    worker_seconds: float
    sink_seconds: float
    clickhouse_seconds: float
    broker_seconds: float
    log_bytes: Mapping[str, float]  # topic -> bytes that a touchpoint writes
    changelog_bytes: float  # of an anchor, in all compacted topics once compacted
    ledger_bytes: float  # of a touchpoint
    table_bytes: float  # of an anchor, in the other tables
    state_bytes: float  # of an anchor, in a worker's own store
    worker_memory: float  # bytes, before it knows anybody
    identity_memory: float  # bytes of an identifier, in the one worker that knows all
    anchors_per_customer: float


# One run of `python -m bench.sizing`, which docs/sizing.md tells of.
MEASURED: Final = Figures(
    worker_seconds=0.000478,
    sink_seconds=0.000202,
    clickhouse_seconds=0.000626,
    broker_seconds=0.000362,
    log_bytes={
        "touchpoints": 124.2,
        "dead-letters": 0.6,
        "journeys": 106.5,
        "anchors": 244.7,
        "identity.links": 14.3,
        "identity.members": 10.5,
        "parts": 120.6,
        "customers": 70.5,
        "outreach.requests": 6.8,
        "outreach": 6.9,
    },
    changelog_bytes=2_540.0,
    ledger_bytes=39.1,
    table_bytes=292.0,
    state_bytes=1_320.0,
    worker_memory=192e6,
    identity_memory=600.0,
    anchors_per_customer=3.04,
)
# Days that what is written stays. A changelog's newest segment is not compacted, and the cleaner
# leaves as much again before it comes.
_DAYS_KEPT: Final = {t.name: 2 * SEGMENT_DAYS if t.compacted else t.clean_days() for t in TOPICS}


class TooLarge(ValueError):
    """A load that one cluster of ours does not carry; the message says what does not."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be carried: touchpoints a second at the peak and over a day, and customers."""

    peak: float
    average: float
    customers: int
    keep_days: int  # of the ledger
    partitions: int | None = None  # where the topics exist


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of process or server: how many, what each has, and the rate that all carry busy.

    `why` has the numbers that made it so many.
    """

    name: str
    count: int
    cores: float
    memory_gb: float
    disk_gb: float
    carries: float
    why: str


@dataclass(frozen=True, slots=True)
class Size:
    """The parts; `bottleneck` is the first that a growing rate fills, `ceiling` its rate."""

    partitions: int
    parts: tuple[Part, ...]
    log_gb_per_day: float  # all replicas
    ledger_gb_per_day: float  # all replicas

    @property
    def bottleneck(self) -> Part:
        return min(self.parts, key=lambda part: part.carries)


def size(load: Load, figures: Figures = MEASURED) -> Size:
    """What a load needs. Raises TooLarge."""
    anchors = load.customers * figures.anchors_per_customer
    workers = _enough(load.peak * figures.worker_seconds, BUSY, least=2)
    partitions = load.partitions or _partitions(workers)
    if workers > partitions:
        if load.partitions:
            raise TooLarge(
                f"{load.peak:,.0f} touchpoints a second need {workers} workers, and a partition "
                f"has one at most: {load.partitions} partitions carry "
                f"{load.partitions * BUSY / figures.worker_seconds:,.0f}"
            )
        raise TooLarge(
            f"{load.peak:,.0f} touchpoints a second need {workers} workers and at least as many "
            f"partitions, of which there are {MOST_PARTITIONS:,} at most"
        )
    sinks = _enough(load.peak * figures.sink_seconds, BUSY, least=2)
    log = sum(figures.log_bytes.values()) * load.average * DAY * REPLICAS_OF_TOPICS
    ledger = figures.ledger_bytes * load.average * DAY * REPLICAS_OF_TABLES
    parts = (
        Part(
            "worker",
            workers,
            cores=1,
            memory_gb=_gb(figures.worker_memory + anchors * figures.identity_memory),
            disk_gb=_gb(anchors * figures.state_bytes / FULL),
            carries=workers / figures.worker_seconds,
            why=f"{load.peak:,.0f}/s x {figures.worker_seconds * 1e3:.3f} ms / {BUSY:.0%} busy",
        ),
        Part(
            "sink",
            min(sinks, partitions),
            cores=1,
            memory_gb=1,
            disk_gb=0,
            carries=min(sinks, partitions) / figures.sink_seconds,
            why=f"{load.peak:,.0f}/s x {figures.sink_seconds * 1e3:.3f} ms / {BUSY:.0%} busy",
        ),
        _brokers(load, figures, log, anchors),
        _shards(load, figures, ledger, anchors),
    )
    return Size(partitions, parts, log / GB, ledger / GB)


def _partitions(workers: int) -> int:
    """Twice the workers in dozens, which two, three, four and six workers share evenly."""
    wanted = max(LEAST_PARTITIONS, workers * PARTITIONS_PER_WORKER)
    return min(MOST_PARTITIONS, ceil(wanted / LEAST_PARTITIONS) * LEAST_PARTITIONS)


def _brokers(load: Load, figures: Figures, log_per_day: float, anchors: float) -> Part:
    kept = REPLICAS_OF_TOPICS * (
        load.average
        * DAY
        * sum(each * _DAYS_KEPT[topic] for topic, each in figures.log_bytes.items())
        + anchors * figures.changelog_bytes
    )
    by_disk = _enough(kept / GB / BROKER.disk_gb, FULL, least=REPLICAS_OF_TOPICS)
    cpu = load.peak * figures.broker_seconds * REPLICAS_OF_TOPICS
    by_cpu = _enough(cpu / BROKER.cores, BUSY, least=REPLICAS_OF_TOPICS)
    count = max(by_disk, by_cpu)
    return Part(
        "broker",
        count,
        cores=BROKER.cores,
        memory_gb=BROKER.memory_gb,
        disk_gb=ceil(kept / count / FULL / GB),
        carries=count * BROKER.cores / (figures.broker_seconds * REPLICAS_OF_TOPICS),
        why=f"{by_cpu} by CPU, {by_disk} by disk ({log_per_day / GB:,.1f} GB a day, "
        f"{kept / GB:,.0f} GB kept), {REPLICAS_OF_TOPICS} at least for the replicas",
    )


def _shards(load: Load, figures: Figures, ledger_per_day: float, anchors: float) -> Part:
    one = REPLICAS_OF_TABLES
    kept = ledger_per_day / one * load.keep_days + anchors * figures.table_bytes
    by_disk = _enough(kept / GB / CLICKHOUSE.disk_gb, FULL)
    by_cpu = _enough(load.peak * figures.clickhouse_seconds / CLICKHOUSE.cores, SERVING)
    count = max(by_disk, by_cpu)
    return Part(
        "shard",
        count,
        cores=CLICKHOUSE.cores,
        memory_gb=CLICKHOUSE.memory_gb,
        disk_gb=ceil(kept / count / FULL / GB),
        carries=count * CLICKHOUSE.cores * SERVING / BUSY / figures.clickhouse_seconds,
        why=f"{by_cpu} by CPU, {by_disk} by disk ({ledger_per_day / GB:,.1f} GB a day, "
        f"{load.keep_days:,} days kept), each of {REPLICAS_OF_TABLES} servers",
    )


def _enough(needed: float, share: float, least: int = 1) -> int:
    """How many, where each gives a share of itself."""
    return max(least, ceil(round(needed / share, 6)))


def _gb(of: float) -> float:
    return ceil(round(of / GB * 10, 6)) / 10
