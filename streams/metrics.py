"""Every Prometheus metric of the pipeline. Labels are closed sets, never customers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from threading import Lock
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

_LATENCY: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0),
)


class BulkHistogram(Collector):
    """A histogram that observes many values at once: one sort in place of a call for each."""

    def __init__(self, name: str, documentation: str, buckets: tuple[float, ...]) -> None:
        self._name, self._documentation, self._bounds = name, documentation, buckets
        self._lock = Lock()
        self._counts = [0] * (len(buckets) + 1)  # cumulative; the last one counts all
        self._sum = 0.0

    def observe_all(self, values: list[float]) -> None:
        """Count every value."""
        ordered = sorted(values)
        with self._lock:
            for index, bound in enumerate(self._bounds):
                self._counts[index] += bisect_right(ordered, bound)
            self._counts[-1] += len(ordered)
            self._sum += sum(ordered)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The family as Prometheus reads it."""
        with self._lock:
            bounds = (*map(str, self._bounds), "+Inf")
            buckets = list(zip(bounds, map(float, self._counts), strict=True))
            yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)


# Records read by an agent
RECORDS: Final = Counter("journey_records_total", "Records read by an agent.", ["agent"])
# Touchpoints counted for the first time, by channel
TOUCHPOINTS: Final = Counter("journey_touchpoints_total", "Touchpoints counted.", ["channel"])
# Touchpoints that had been counted before: replays and producers that sent twice
DUPLICATES: Final = Counter("journey_duplicates_total", "Touchpoints seen before.")
# Records rejected, by reason
DEAD_LETTERS: Final = Counter("journey_dead_letters_total", "Records rejected.", ["reason"])
# Touchpoints that came with another key than their anchor and were sent on to its partition
REKEYED: Final = Counter(
    "journey_rekeyed_total", "Touchpoints sent on to their anchor's partition."
)
# Time of an agent on one chunk, output acknowledged
CHUNK_SECONDS: Final = Histogram(
    "journey_chunk_seconds", "Time of an agent on one chunk.", ["agent"], buckets=_LATENCY
)
# Last offset an agent finished, by topic and partition: progress, for liveness
OFFSET: Final = Gauge("journey_offset", "Last offset finished.", ["topic", "partition"])
# Partitions this worker owns, by topic
ASSIGNED: Final = Gauge("journey_assigned_partitions", "Partitions owned.", ["topic"])
# Identifiers whose customer changed: merges and splits
MEMBERS: Final = Counter("journey_members_total", "Identifiers whose customer changed.")
# Customers evaluated, by what made it necessary
EVALUATIONS: Final = Counter("journey_evaluations_total", "Customers evaluated.", ["trigger"])
# Outreach decided, by rule and whether it was taken
OUTREACH: Final = Counter("journey_outreach_total", "Outreach decided.", ["rule", "taken"])
# From the broker taking a touchpoint to its customer's health being published
HEALTH_SECONDS: Final = Histogram(
    "journey_health_seconds", "Touchpoint received to health published.", buckets=_LATENCY
)

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
REGISTRY.register(END_TO_END_SECONDS)
