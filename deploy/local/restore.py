"""The embedded broker forgets at every stop; the ledger does not: state rebuilt from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from analytics import replay
from schemas.settings import Settings
from sinks.clickhouse import connect
from streams.core.account_rules import horizon
from streams.core.evidence import DAY_MS
from streams.core.guard import Guard
from streams.rebuild import rebuild
from streams.rules import load_rules


def ledger_size(settings: Settings) -> int:
    """Rows of the ledger, those that will merge counted apart."""
    client = connect(settings.clickhouse.get_secret_value())
    try:
        return replay.size(client)
    finally:
        client.disconnect()


def restore(settings: Settings, progress: Callable[[int], None]) -> int:
    """Rebuild identity and live state into empty topics; touchpoints counted.

    Tables that repeat the state are emptied first: the sink fills them again from the topics.
    """
    url = settings.clickhouse.get_secret_value()
    ruleset, now_ms = load_rules(settings.rules_file), time.time_ns() // 1_000_000
    since_ms = now_ms - Guard(ruleset).horizon_ms
    client, other = connect(url), connect(url)
    try:
        replay.forget_state(client)
        return asyncio.run(
            rebuild(
                settings,
                replay.steps(client),
                replay.links(other),
                replay.reached(other),
                replay.decisions(other, since_ms),
                replay.account_pasts(other, now_ms // DAY_MS - horizon(ruleset)),
                replay.outcomes(other, since_ms),
                now_ms,
                progress,
            )
        )
    finally:
        client.disconnect()
        other.disconnect()
