"""Whom an alert is about: customers in trouble with a product, in a region, not helped since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from clickhouse_driver import Client

from analytics.live import parts_of
from schemas.state import Part
from streams.core.breakdown import DIMENSIONS, LATE_MS
from streams.core.signals import (
    DISTRESS_LEAST,
    HELP,
    LOW_ANSWERS,
    LOW_RATINGS,
    SENTIMENT_MOST,
    TROUBLE,
)

# The same as `core.signals.is_distressing` and `is_help`, and `core.breakdown.values_of`; tests
# compare them.
_DISTRESSING: Final = """(
    (channel, type) IN %(trouble)s
    OR (scorer != '' AND (sentiment <= %(sentiment)s OR distress >= %(distress)s)
        AND fields['direction'] != 'outbound')
    OR fields['resolved'] = 'false'
    OR (fields['survey'], fields['answer']) IN %(answers)s
    OR fields['rating'] IN %(ratings)s
)"""
_HELP: Final = "(fields['resolved'] = 'true' OR (channel, type) IN %(help)s)"
_ABOUT: Final = """(
    %(channel)s IN ('', channel)
    AND %(product)s IN ('', if(fields['product'] != '', fields['product'],
        JSONExtractString(properties, 'product')))
    AND %(region)s IN ('', if(fields['region'] != '', fields['region'],
        JSONExtractString(properties, 'region')))
    AND %(campaign)s IN ('', if(fields['campaign'] != '', fields['campaign'],
        JSONExtractString(properties, 'campaign')))
)"""
RECENT: Final = """
    received_at >= fromUnixTimestamp64Milli(toInt64(%(since)s), 'UTC')
    AND occurred_at >= fromUnixTimestamp64Milli(toInt64(%(since)s) - toInt64(%(late)s), 'UTC')
    AND received_at <= occurred_at + toIntervalMillisecond(%(late)s)
"""
# The map of identities is joined and not the dictionary asked, which may lag by seconds. Rows that
# were written twice change no maximum, so there is no FINAL, which would read without the index.
_AFFECTED: Final = f"""
SELECT if(known.customer = '', seen.anchor, known.customer) AS owner
FROM (
    SELECT anchor,
        maxIf(toUnixTimestamp64Milli(occurred_at), {_DISTRESSING} AND {_ABOUT}) AS hurt,
        maxIf(toUnixTimestamp64Milli(occurred_at), {_HELP}) AS helped
    FROM touchpoints
    WHERE {RECENT}
    GROUP BY anchor
    HAVING hurt > 0 OR helped > 0
) AS seen
LEFT JOIN (
    SELECT identifier, customer FROM identity
    WHERE identifier IN (SELECT anchor FROM touchpoints WHERE {RECENT})
) AS known ON known.identifier = seen.anchor
GROUP BY owner
HAVING max(hurt) > max(helped)
ORDER BY owner
"""
_TABLES: Final[dict[str, Any]] = {
    "trouble": tuple(sorted(TROUBLE)),
    "sentiment": SENTIMENT_MOST,
    "distress": DISTRESS_LEAST,
    "answers": tuple(sorted(LOW_ANSWERS)),
    "ratings": tuple(sorted(LOW_RATINGS)),
    "help": tuple(sorted(HELP)),
    "late": LATE_MS,
}
_BATCH: Final = 500
_SETTINGS: Final = {"max_block_size": 8_192}


def affected(
    client: Client, other: Client, about: Mapping[str, str], since_ms: int
) -> Iterator[tuple[str, dict[str, Part]]]:
    """Customers with their parts by anchor, in order of id, a batch of them held at a time.

    Those with distressing touchpoints received since a moment of all the values in `about`, as
    `core.breakdown` has them, who were not helped after the last of them. The two clients are read
    side by side. A customer whose parts are not stored yet is left out.
    """
    asked = dict.fromkeys(DIMENSIONS, "") | dict(about) | _TABLES | {"since": since_ms}
    rows = client.execute_iter(_AFFECTED, asked, settings=_SETTINGS)
    while names := [name for (name,) in islice(rows, _BATCH)]:
        stored = parts_of(other, names)
        for name in names:
            if name in stored:
                yield name, stored[name]
