"""The demonstration: a stack, simulated traffic through it, and what can be asked of it then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from clickhouse_driver import Client
from clickhouse_driver.errors import NetworkError

from analytics.funnel import funnel
from deploy.local.scrape import quantile, total
from deploy.local.stack import Stack
from producers.publisher import Publisher
from producers.simulator.publish import SimulationCounts, publish_simulation
from producers.simulator.stream import simulate
from sinks.clickhouse import connect
from sinks.shards import reload_identities
from streams.cluster import wait_until_read

FUNNEL: Final = ("web:product_view", "web:add_to_cart", "order:placed", "order:delivered")
FUNNEL_WINDOW: Final = 30 * 86_400
_PATIENCE: Final = 120.0  # seconds without progress before giving up
_RESTART_PATIENCE: Final = 30.0  # seconds for a database that died to answer again

T = TypeVar("T")
# (sent, stored) so far
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What went in, what can be queried, and whether the two agree."""

    counts: SimulationCounts
    stored: int
    distinct: int
    counted: int  # touchpoints in live state
    duplicates: int
    dead_letters: int
    customers: int
    seconds: float
    latency_ms: dict[str, float]
    funnel: list[dict[str, Any]]
    least_healthy: list[dict[str, Any]]
    outreach: dict[str, int]
    channels: dict[str, int]

    @property
    def exact(self) -> bool:
        """Every unique valid touchpoint is stored once and counted once; nothing else is."""
        valid = self.counts.valid
        return (
            self.stored == self.distinct == self.counted == valid
            and self.dead_letters == self.counts.malformed
        )

    def as_json(self) -> dict[str, Any]:
        """The documented shape of `journey demo --json`."""
        return {
            "touchpoints": {
                "sent": self.counts.sent,
                "unique": self.counts.valid,
                "stored": self.stored,
                "counted": self.counted,
                "duplicates": self.duplicates,
                "dead_letters": self.dead_letters,
            },
            "channels": self.channels,
            "customers": self.customers,
            "seconds": round(self.seconds, 2),
            "touchpoints_per_second": round(self.counts.sent / self.seconds),
            "latency_ms": self.latency_ms,
            "funnel": self.funnel,
            "least_healthy": self.least_healthy,
            "outreach": self.outreach,
            "exact": self.exact,
        }


def run(
    stack: Stack,
    touchpoints: int,
    customers: int,
    seed: int,
    rate: float | None,
    progress: Progress,
) -> Outcome:
    """Send a simulation through a running stack and wait until all of it can be queried.

    Gives up waiting when nothing moves for two minutes; the outcome then says what is missing.
    """
    settings = stack.settings
    began = time.monotonic()
    client = connect(settings.clickhouse.get_secret_value())
    try:
        with Publisher(settings) as publisher:
            looked = [began]

            def sent(count: int) -> None:
                if time.monotonic() - looked[0] > 0.5:
                    progress(count, _asked(stack, lambda: _stored(client)))
                    looked[0] = time.monotonic()

            counts = publish_simulation(
                simulate(touchpoints, customers, seed, datetime.now(UTC)),
                publisher,
                settings.identity_key_bytes(),
                settings.phone_region,
                rate,
                sent,
            )
        wait_until_read(
            settings,
            lambda _: progress(counts.sent, _asked(stack, lambda: _stored(client))),
            _PATIENCE,
            pause=0.25,
        )
        seconds = time.monotonic() - began
        return _asked(stack, lambda: _outcome(stack, client, counts, seconds))
    finally:
        client.disconnect()


def _asked(stack: Stack, ask: Callable[[], T]) -> T:
    """Ask the database of a watched stack; again where it died and is started again."""
    deadline = time.monotonic() + _RESTART_PATIENCE
    while True:
        stack.watch()
        try:
            return ask()
        except (NetworkError, EOFError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.25)


def _outcome(stack: Stack, client: Client, counts: SimulationCounts, seconds: float) -> Outcome:
    reload_identities(client)
    metrics = stack.metrics()
    return Outcome(
        counts=counts,
        stored=int(client.execute("SELECT count() FROM touchpoints FINAL")[0][0]),
        distinct=int(client.execute("SELECT uniqExact(event_id) FROM touchpoints")[0][0]),
        counted=int(client.execute("SELECT sum(n) FROM parts FINAL")[0][0]),
        duplicates=int(total(metrics, "journey_duplicates_total")),
        dead_letters=int(client.execute("SELECT count() FROM dead_letters FINAL")[0][0]),
        customers=int(client.execute("SELECT count() FROM customers WHERE identifiers > 0")[0][0]),
        seconds=seconds,
        latency_ms={
            name: round(1000 * quantile(metrics, "journey_end_to_end_seconds", q), 1)
            for name, q in (("p50", 0.5), ("p99", 0.99))
        },
        funnel=[
            {"step": step.step, "customers": step.customers}
            for step in funnel(client, FUNNEL, FUNNEL_WINDOW)
        ],
        least_healthy=least_healthy(client, 5),
        outreach=dict(
            client.execute(
                "SELECT rule, count() FROM outreach FINAL "
                "WHERE taken OR suppressed_by = 'quiet_hours' GROUP BY rule ORDER BY rule"
            )
        ),
        channels=dict(
            client.execute(
                "SELECT channel, count() FROM touchpoints FINAL GROUP BY channel ORDER BY channel"
            )
        ),
    )


def least_healthy(client: Client, most: int) -> list[dict[str, Any]]:
    """The customers in the worst health now, with the reasons."""
    rows = client.execute(
        """
        SELECT customer, health, distress, touchpoints, account, reasons
        FROM customers
        WHERE identifiers > 0 AND touchpoints > 3
        ORDER BY health, distress DESC, customer
        LIMIT %(most)s
        """,
        {"most": most},
    )
    names = ("customer", "health", "distress", "touchpoints", "account", "reasons")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _stored(client: Client) -> int:
    return int(client.execute("SELECT count() FROM touchpoints")[0][0])
