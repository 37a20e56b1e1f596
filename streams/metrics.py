"""Every Prometheus metric of the pipeline. Labels are closed sets, never customers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter as Counter_
from collections.abc import Iterable
from threading import Lock
from typing import Final, Protocol
from weakref import WeakValueDictionary

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from schemas.outcome import JourneyStep
from streams.core.breakdown import DIMENSIONS, Breakdowns

_LATENCY: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0),
)
# Outreach may wait for an endpoint until it expires.
_DISPATCH: Final = (*(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0), *(60.0, 300.0, 1800.0, 7200.0))


class BulkHistogram(Collector):
    """A histogram that observes many values at once: one sort in place of a call for each."""

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: tuple[float, ...],
        labels: tuple[str, ...] = (),
    ) -> None:
        self._name, self._documentation, self._bounds = name, documentation, buckets
        self._labels = labels
        self._lock = Lock()
        # labels -> (cumulative counts, of which the last counts all; sum)
        self._held: dict[tuple[str, ...], tuple[list[int], float]] = {}
        if not labels:
            self.observe_all([])

    def observe_all(self, values: Iterable[float], labels: tuple[str, ...] = ()) -> None:
        """Count every value."""
        ordered = sorted(values)
        with self._lock:
            counts, total = self._held.get(labels) or ([0] * (len(self._bounds) + 1), 0.0)
            for index, bound in enumerate(self._bounds):
                counts[index] += bisect_right(ordered, bound)
            counts[-1] += len(ordered)
            self._held[labels] = counts, total + sum(ordered)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The family as Prometheus reads it."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = (*map(str, self._bounds), "+Inf")
        with self._lock:
            for labels, (counts, total) in self._held.items():
                buckets = list(zip(bounds, map(float, counts), strict=True))
                family.add_metric(labels, buckets, total)
        yield family


def count_of(counter: Counter) -> float:
    """What a counter stands at, over all its labels."""
    samples = next(iter(counter.collect())).samples
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


class Counted(Protocol):
    """What holds a part of a gauge: label values -> count."""

    counts: dict[tuple[str, ...], int]


class SharedGauge(Collector):
    """A gauge summed over the parts that are still in use: what is dropped counts no more."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self._name, self._documentation, self._labels = name, documentation, labels
        self._parts: WeakValueDictionary[int, Counted] = WeakValueDictionary()

    def share(self, part: Counted) -> None:
        """Count a part for as long as it is referred to."""
        self._parts[id(part)] = part

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The family as Prometheus reads it."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._labels)
        total: Counter_[tuple[str, ...]] = Counter_()
        for part in self._parts.values():
            total.update(part.counts)
        for labels, count in sorted(total.items()):
            family.add_metric(labels, count)
        yield family


class BreakdownCounters(Collector):
    """Two counters by product, region, campaign and channel, of which `core.breakdown` keeps few.

    Touchpoints counted for the first time, and those of them that tell of trouble.
    """

    _LABELS: Final = ("breakdown", *DIMENSIONS)

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = Breakdowns()

    def count(self, steps: Iterable[JourneyStep]) -> None:
        """Count touchpoints."""
        with self._lock:
            self._counts.count(steps)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """The families as Prometheus reads them."""
        name = "journey_breakdown"
        every = CounterMetricFamily(f"{name}_touchpoints", "Touchpoints.", labels=self._LABELS)
        bad = CounterMetricFamily(f"{name}_distressing", "Of trouble.", labels=self._LABELS)
        with self._lock:
            for breakdown, values, touchpoints, distressing in self._counts:
                every.add_metric((breakdown, *values), touchpoints)
                bad.add_metric((breakdown, *values), distressing)
        yield from (every, bad)


# Records read by an agent
RECORDS: Final = Counter("journey_records_total", "Records read by an agent.", ["agent"])
# Touchpoints counted for the first time, by channel
TOUCHPOINTS: Final = Counter("journey_touchpoints_total", "Touchpoints counted.", ["channel"])
# Touchpoints that had been counted before: replays and producers that sent twice
DUPLICATES: Final = Counter("journey_duplicates_total", "Touchpoints seen before.")
BOUNDED: Final = Counter(
    "journey_bounded_anchors_total",
    "Anchors of which not everything is kept any more, by what is folded or forgotten.",
    ["bound"],
)
# Records rejected, by reason
DEAD_LETTERS: Final = Counter("journey_dead_letters_total", "Records rejected.", ["reason"])
# Share of a partition's last 1,000 records that were rejected: a worker stops at a limit
DEAD_LETTER_SHARE: Final = Gauge(
    "journey_dead_letter_share", "Dead letters among a partition's last records.", ["partition"]
)
# Touchpoints that came with another key than their anchor and were sent on to its partition
REKEYED: Final = Counter(
    "journey_rekeyed_total", "Touchpoints sent on to their anchor's partition."
)
# Chunks an agent could not finish; why is `ownership` (another worker has the partition since),
# `dead_letters` (over the limit) or `error`; the worker ends after the latter two
CHUNK_ERRORS: Final = Counter(
    "journey_chunk_errors_total", "Chunks an agent could not finish.", ["agent", "why"]
)
# Time of an agent on one chunk, output acknowledged
CHUNK_SECONDS: Final = Histogram(
    "journey_chunk_seconds", "Time of an agent on one chunk.", ["agent"], buckets=_LATENCY
)
# Last offset an agent finished, by topic and partition: progress, for liveness
OFFSET: Final = Gauge("journey_offset", "Last offset finished.", ["topic", "partition"])
# Records of a partition that this process has yet to finish: a worker, or read: the sink
LAG: Final = Gauge("journey_lag_records", "Records yet to be read.", ["topic", "partition"])
# Whether /live says that work waits and nothing moves
STUCK: Final = Gauge("journey_stuck", "1 while work waits and nothing moves.")
# Partitions this worker owns, by topic
ASSIGNED: Final = Gauge("journey_assigned_partitions", "Partitions owned.", ["topic"])
# Whether the last attempt to reach a dependency failed: clickhouse, kafka, and kafka_delivery or
# kafka_recovery where writing or reading does not come through although a broker answers
OUTAGE: Final = Gauge("journey_outage", "1 while a dependency is away.", ["dependency"])
# Identifiers whose customer changed: merges and splits
MEMBERS: Final = Counter("journey_members_total", "Identifiers whose customer changed.")
# Time to recover a partition of a changelog: store opened, tail read
RECOVERY_SECONDS: Final = Histogram(
    "journey_recovery_seconds", "Time to recover a partition.", ["topic"], buckets=_LATENCY
)
# Records recovered: found in the store on disk, or read from the changelog
RECOVERED: Final = Counter(
    "journey_recovered_records_total", "Records recovered.", ["topic", "source"]
)
# Stores that could not be used and were filled from the changelog; why is one of `recovery.UNFIT`
STORES_REBUILT: Final = Counter("journey_stores_rebuilt_total", "Stores rebuilt.", ["topic", "why"])
# Records found in a changelog that its owner had not written
FOREIGN: Final = Counter("journey_foreign_records_total", "Changelog of others.", ["topic"])
# Records sent again so that what counts stands last
RESTATED: Final = Counter("journey_restated_records_total", "Records sent again.", ["topic"])
# Records a standby has yet to read, by topic
STANDBY_LAG: Final = Gauge("journey_standby_lag", "Records behind, as a standby.", ["topic"])
# Customers evaluated, by what made it necessary
EVALUATIONS: Final = Counter("journey_evaluations_total", "Customers evaluated.", ["trigger"])
# Accounts evaluated, by what made it necessary: contact, sweep
ACCOUNT_EVALUATIONS: Final = Counter(
    "journey_account_evaluations_total", "Accounts evaluated.", ["trigger"]
)
# Outreach decided, by rule and whether it was taken
OUTREACH: Final = Counter("journey_outreach_total", "Outreach decided.", ["rule", "taken"])
# Outreach suppressed, by rule and the check of the guard that objected
OUTREACH_SUPPRESSED: Final = Counter(
    "journey_outreach_suppressed_total", "Outreach suppressed.", ["rule", "suppressed_by"]
)
# From the broker taking a touchpoint to the guard's decision on what it led to
OUTREACH_SECONDS: Final = Histogram(
    "journey_outreach_seconds", "Touchpoint received to outreach decided.", buckets=_LATENCY
)
# What became of decisions that were taken, by channel and final status
OUTREACH_OUTCOMES: Final = Counter(
    "journey_outreach_outcomes_total", "Outreach ended.", ["channel", "status"]
)
# From the decision to the endpoint having taken it
OUTREACH_SENT_SECONDS: Final = Histogram(
    "journey_outreach_sent_seconds", "Outreach decided to sent.", ["channel"], buckets=_DISPATCH
)
# Attempts at an endpoint, by what came of them: sent, refused, or waiting for another
ATTEMPTS: Final = Counter(
    "journey_endpoint_attempts_total", "Attempts at an endpoint.", ["endpoint", "status"]
)
# Time of one attempt
ATTEMPT_SECONDS: Final = Histogram(
    "journey_endpoint_seconds", "Time of an attempt.", ["endpoint"], buckets=_LATENCY
)
# Decisions in memory that wait for an endpoint; what is beyond is lag of the topic
ENDPOINT_BACKLOG: Final = Gauge("journey_endpoint_backlog", "Decisions waiting.", ["endpoint"])
# Circuit breaker of an endpoint: 0 closed, 1 half-open, 2 open
ENDPOINT_BREAKER: Final = Gauge("journey_endpoint_breaker", "Circuit breaker.", ["endpoint"])
# From the broker taking a touchpoint to its customer's health being published
HEALTH_SECONDS: Final = Histogram(
    "journey_health_seconds", "Touchpoint received to health published.", buckets=_LATENCY
)

# Records that `producers.publisher` sent: acknowledged by the broker, or given up; served by the
# process that uses it
PUBLISHED: Final = Counter("journey_published_total", "Records acknowledged.")
PUBLISH_ERRORS: Final = Counter("journey_publish_errors_total", "Records not delivered.")
# From sending a record to the broker having it, of one record in a tenth of a second
PUBLISH_SECONDS: Final = Histogram(
    "journey_publish_seconds", "Record sent to acknowledged.", buckets=_LATENCY
)
# Bytes a producer has sent and the broker has not acknowledged; it waits beyond 32 MiB
PUBLISH_PENDING_BYTES: Final = Gauge("journey_publish_pending_bytes", "Bytes unacknowledged.")

# Alertmanager's webhooks by what became of them: taken, unauthorized, malformed, unavailable (what
# the receiver needs is away) or failed
WEBHOOKS: Final = Counter("journey_webhooks_total", "Webhooks of Alertmanager.", ["outcome"])
# Time of one webhook, requests acknowledged by Kafka
WEBHOOK_SECONDS: Final = Histogram(
    "journey_webhook_seconds", "Time of one webhook.", buckets=_LATENCY
)
# Webhooks that are being answered, one after the other
WEBHOOKS_WAITING: Final = Gauge("journey_webhooks_waiting", "Webhooks in hand.")
# Requests to the guard that alerts led to; those repeated count again, the guard decides once
ALERT_REQUESTS: Final = Counter("journey_alert_requests_total", "Requests of alerts.", ["rule"])

# Sentiment of texts, −1..1, by channel and language; le="+Inf" is their number, since Prometheus
# has neither sum nor count for buckets below zero
SENTIMENT: Final = BulkHistogram(
    "journey_text_sentiment",
    "Sentiment of texts, -1 to 1.",
    tuple(step / 4 for step in range(-4, 5)),
    ("channel", "language"),
)
# Distress of texts, 0..1, by channel and language
DISTRESS: Final = BulkHistogram(
    "journey_text_distress",
    "Distress of texts, 0 to 1.",
    tuple(step / 10 for step in range(11)),
    ("channel", "language"),
)
# Customers of this worker by segment ("none" before any purchase) and band, as of the last sweep
CUSTOMERS: Final = SharedGauge(
    "journey_customers", "Customers by segment and band of health.", ("segment", "band")
)
# Accounts of this worker that have contacts, by band, as of the last sweep
ACCOUNTS: Final = SharedGauge("journey_accounts", "Accounts by band of health.", ("band",))

# Rows the sink wrote, by table; a replayed row counts again
ROWS_INSERTED: Final = Counter("journey_rows_inserted_total", "Rows written.", ["table"])
# Time of one insert, building its columns included
INSERT_SECONDS: Final = Histogram(
    "journey_insert_seconds", "Time of one insert.", ["table"], buckets=_LATENCY
)
# Inserts that failed; kind is unavailable (tried again), drift or refused (the sink stops)
INSERT_ERRORS: Final = Counter("journey_insert_errors_total", "Inserts failed.", ["table", "kind"])
# Records the sink has read and not begun to write
SINK_BUFFER_ROWS: Final = Gauge("journey_sink_buffer_rows", "Records read, not yet written.")
# From the broker taking a touchpoint to its row being acknowledged by ClickHouse
END_TO_END_SECONDS: Final = BulkHistogram(
    "journey_end_to_end_seconds", "Touchpoint received to row stored.", _LATENCY
)
# journey_breakdown_touchpoints_total and journey_breakdown_distressing_total, by `breakdown` and
# its values; at most 613 of each in a process, see `core.breakdown`
BREAKDOWN: Final = BreakdownCounters()
for _collector in (SENTIMENT, DISTRESS, CUSTOMERS, ACCOUNTS, END_TO_END_SECONDS, BREAKDOWN):
    REGISTRY.register(_collector)
