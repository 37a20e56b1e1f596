"""Texts of the ledger scored again by the present scorer: corrected rows beside those they replace.

A corrected row carries when it was written, `rescored_at`, as its version; a row of the sink has
none. So a replay of what was scored before does not undo it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_driver import Client

from schemas.outcome import JourneyStep
from sinks.rows import TOUCHPOINTS, Column, Table
from sinks.writer import ClickHouseWriter
from streams.core.sentiment import VERSION, score

BATCH: Final = 5_000  # texts; one insert each
_NAMES: Final = [column.name for column in TOUCHPOINTS.columns]
_ANCHOR, _OCCURRED, _EVENT, _TEXT, _LANGUAGE, _SENTIMENT, _DISTRESS, _SCORER = map(
    _NAMES.index,
    ("anchor", "occurred_at", "event_id", "text", "language", "sentiment", "distress", "scorer"),
)
_RESCORED: Final = Table(
    TOUCHPOINTS.name,
    JourneyStep,
    (*TOUCHPOINTS.columns, Column("rescored_at", TOUCHPOINTS.columns[_OCCURRED].type, "")),
)
_STALE: Final = "text != '' AND scorer != %(scorer)s"
_COUNT: Final = f"SELECT count() FROM touchpoints FINAL WHERE {_STALE}"  # noqa: S608
_ROWS: Final = f"""
SELECT {", ".join(_NAMES)} FROM touchpoints FINAL
WHERE {_STALE} AND (anchor, occurred_at, event_id) >
    (%(anchor)s, fromUnixTimestamp64Milli(%(occurred_ms)s, 'UTC'), toUUID(%(event_id)s))
ORDER BY anchor, occurred_at, event_id
LIMIT %(batch)s
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Rescored:
    """Texts whose row carries the present version now, and those that score differently by it."""

    texts: int = 0
    changed: int = 0


def stale(client: Client) -> int:
    """Texts of the ledger that another version of the scorer has scored."""
    return int(client.execute(_COUNT, {"scorer": VERSION})[0][0])


def rescore(client: Client, now_ms: int, progress: Callable[[int], None]) -> Rescored:
    """Score every stale text again, in order of the ledger's key, a batch at a time.

    What an earlier run has done is not stale, so stopping it anywhere and starting again does the
    rest. `progress` is told the texts done. Raises WriterError.
    """
    writer = ClickHouseWriter(client)
    done = changed = 0
    after = {"anchor": "", "occurred_ms": 0, "event_id": "00000000-0000-0000-0000-000000000000"}
    while rows := client.execute(_ROWS, {"scorer": VERSION, "batch": BATCH, **after}):
        corrected = [_corrected(row) for row in rows]
        changed += sum(
            new[_SENTIMENT:_SCORER] != old[_SENTIMENT:_SCORER]
            for old, new in zip(rows, corrected, strict=True)
        )
        columns = [list(column) for column in zip(*corrected, strict=True)]
        writer.insert(_RESCORED, [*columns, [now_ms] * len(rows)])
        last = rows[-1]
        after = {
            "anchor": last[_ANCHOR],
            "occurred_ms": round(last[_OCCURRED].timestamp() * 1000),
            "event_id": str(last[_EVENT]),
        }
        done += len(rows)
        progress(done)
    return Rescored(done, changed)


def _corrected(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row with its text's present score; the language it was found to be in is the hint."""
    mood = score(row[_TEXT], row[_LANGUAGE] or None)
    fixed = list(row)
    fixed[_LANGUAGE], fixed[_SENTIMENT] = mood.language, mood.score
    fixed[_DISTRESS], fixed[_SCORER] = mood.distress, VERSION
    return tuple(fixed)
