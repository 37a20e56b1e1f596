"""Every Prometheus metric of the pipeline. Labels are closed sets, never customers."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_LATENCY: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0),
)

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
