"""The simulation: customers' journeys merged into one stream in the order it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import accumulate, count, pairwise
from random import Random
from typing import Any, Final, Literal, NamedTuple

from producers.simulator.contacts import DAY, HOUR, MINUTE, Step
from producers.simulator.customers import Customer, new_customer
from producers.simulator.episodes import EPISODES, introduce, trouble, visit
from producers.simulator.faults import malformed

SPAN_DAYS: Final = 90
DUPLICATES: Final = 0.01
MALFORMED: Final = 0.001
_LATE: Final = 0.05
_LATE_MEAN: Final = 12 * HOUR
_TROUBLE_STEPS: Final = 24  # what a chain of trouble takes at most
# Relative activity of the hours 0 to 23, local time: mornings, a dip, the evening peak.
_HOURS: Final = (
    3, 1, 1, 1, 1, 2, 4, 9, 16, 24, 28, 28, 24, 18, 16, 18, 22, 25, 27, 29, 31, 30, 22, 10,
)  # fmt: skip
# zone in minutes -> the weekday on which fewer things happen; Sunday elsewhere
_REST_DAYS: Final = {210: 4}
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday


class Simulated(NamedTuple):
    """One record: a wire touchpoint, or the raw bytes of a malformed one."""

    kind: Literal["valid", "duplicate", "malformed"]
    touchpoint: dict[str, Any] | None
    raw: bytes | None


def simulate(touchpoints: int, customers: int, seed: int, until: datetime) -> Iterator[Simulated]:
    """Exactly `touchpoints` records of the 90 days up to `until`, in order of arrival.

    Deterministic in its arguments. 1 % are duplicates (an earlier record again), 0.1 % malformed,
    5 % of the rest arrive hours or days after they happened. Raises ValueError for a time without
    zone or numbers below one.
    """
    if until.tzinfo is None:
        raise ValueError("until: has no zone; give a zone-aware time")
    if touchpoints < 1 or customers < 1:
        raise ValueError("touchpoints and customers: give numbers of at least one")
    rng = Random(seed)  # noqa: S311  (a simulation, no secrets)
    until_ms = int(until.timestamp() * 1000)
    n_duplicates = round(touchpoints * DUPLICATES)
    n_malformed = round(touchpoints * MALFORMED)
    valid = touchpoints - n_duplicates - n_malformed
    repeat = set(rng.sample(range(valid), n_duplicates))
    broken = sorted(rng.randrange(valid) for _ in range(n_malformed))
    times = _times_of_day(rng)

    sequence = count()
    # (arrival, tie-break, what): a Customer's next episode, a touchpoint, or one sent again
    queue: list[tuple[int, int, Any]] = []
    quotas = _quotas(valid, customers, rng)
    for number, quota in enumerate(quotas):
        if quota:
            begins = until_ms - int(SPAN_DAYS * DAY * (1 - 0.6 * rng.random() ** 2))
            begins = _waking(begins, 0, 0, times, rng)
            queue.append((begins, next(sequence), (number, quota)))
    heapify(queue)
    emitted = 0
    while queue:
        now, _, what = heappop(queue)
        if isinstance(what, dict):
            yield Simulated("valid", what, None)
            if emitted in repeat:
                again = now + int(rng.expovariate(1 / (10 * MINUTE)))
                heappush(queue, (again, next(sequence), Simulated("duplicate", what, None)))
            while broken and broken[0] <= emitted:
                broken.pop(0)
                yield Simulated("malformed", None, malformed(what, rng))
            emitted += 1
            continue
        if isinstance(what, Simulated):
            yield what
            continue
        if isinstance(what, tuple):
            number, quota = what
            what = _begin(number, quota, now, until_ms, rng)
        for happened, touchpoint in _live(what, now, until_ms, times, rng):
            arrives = happened
            if rng.random() < _LATE:
                arrives = min(until_ms, happened + int(rng.expovariate(1 / _LATE_MEAN)))
            heappush(queue, (arrives, next(sequence), touchpoint))
        if what.quota > 0:
            heappush(queue, (_next_start(what, now, until_ms, times, rng), next(sequence), what))


def _quotas(total: int, customers: int, rng: Random) -> list[int]:
    """Touchpoints per customer: at least one where they suffice, log-normal beyond that."""
    weights = [rng.lognormvariate(0, 0.8) for _ in range(customers)]
    floor = 1 if total >= customers else 0
    rest = total - floor * customers
    scale = rest / sum(weights)
    shares = [0, *(round(running * scale) for running in accumulate(weights))]
    shares[-1] = rest
    return [floor + high - low for low, high in pairwise(shares)]


def _begin(number: int, quota: int, now: int, until_ms: int, rng: Random) -> Customer:
    customer = new_customer(number, rng)
    customer.quota = customer.planned = quota
    customer.starts_ms = now
    customer.ends_ms = until_ms
    customer.leaver = customer.leaver and not customer.visitor and quota >= _TROUBLE_STEPS + 4
    if customer.leaver:
        silence = int((12 + 30 * rng.random()) * DAY)
        customer.ends_ms = max(now + (until_ms - now) // 4, until_ms - silence - 20 * DAY)
    return customer


def _next_start(customer: Customer, now: int, until_ms: int, times: list[int], rng: Random) -> int:
    """When the next episode begins, so that the quota spreads over the customer's time."""
    # All but the last touchpoint spread evenly, so that the recent days stay as busy.
    done = (customer.planned - customer.quota) / max(1, customer.planned - 1)
    aim = customer.starts_ms + int((customer.ends_ms - customer.starts_ms) * done)
    aim += int(rng.gauss(0, 0.5) * DAY)
    aim = _waking(max(aim, now + MINUTE), now + MINUTE, customer.city.zone_minutes, times, rng)
    return aim if aim <= until_ms else now + int((until_ms - now) * rng.random())


def _episode(customer: Customer, rng: Random) -> list[Step]:
    quota = customer.quota
    if not customer.known:
        ready = quota < customer.planned or rng.random() < 0.4
        if customer.visitor or quota < 6 or not ready:
            return visit(customer, rng, min(quota, 2 + int(rng.random() * 3)))
        return introduce(customer, rng)
    if customer.leaver and quota <= _TROUBLE_STEPS:
        customer.leaver = False  # whatever is left over is an afterthought
        chain = trouble(customer, rng)
        spare = quota - len(chain)
        return [*visit(customer, rng, spare), *chain] if spare > 0 else chain[-quota:]
    draw = rng.random()
    return next(episode for share, episode in EPISODES if draw < share)(customer, rng)


def _live(
    customer: Customer, now: int, until_ms: int, times: list[int], rng: Random
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The touchpoints of a customer's next episode that happen by `until_ms`, with their times."""
    zone = customer.city.zone_minutes
    happened = now
    promised = ""
    for gap, channel, type_, identifiers, fields in _episode(customer, rng)[: customer.quota]:
        happened += gap
        if gap >= 4 * HOUR:
            happened = _waking(happened, happened - gap // 2, zone, times, rng)
        if happened > until_ms:
            return
        bits = f"{rng.getrandbits(128):032x}"
        touchpoint: dict[str, Any] = {
            "schema_version": 1,
            "event_id": f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-a{bits[17:20]}-{bits[20:]}",
            "occurred_at": _rfc3339(happened, zone),
            "channel": channel,
            "type": type_,
            "identifiers": identifiers,
            **fields,
        }
        if "promised_at" in fields:
            promised = promised or _rfc3339(happened + fields["promised_at"], zone)
            touchpoint["promised_at"] = promised
        if "text" in fields and rng.random() < 0.7:
            touchpoint["language"] = customer.language
        if customer.account and customer.known:
            touchpoint["account"] = customer.account
        customer.quota -= 1
        yield happened, touchpoint


def _waking(moment: int, after: int, zone: int, times: list[int], rng: Random) -> int:
    """A plausible time of the moment's local day, later than `after`; days of rest are quieter."""
    day = (moment + zone * MINUTE) // DAY
    if (day + _EPOCH_WEEKDAY) % 7 == _REST_DAYS.get(zone, 6) and rng.random() < 0.4:
        day += 1
    placed = day * DAY - zone * MINUTE + times[int(rng.random() * len(times))]
    return placed if placed > after else placed + DAY


def _times_of_day(rng: Random) -> list[int]:
    """Milliseconds into the day, drawn by the hours' weights; drawn once as draws are slow."""
    hours = rng.choices(range(24), weights=_HOURS, k=8192)
    return [hour * HOUR + int(rng.random() * HOUR) for hour in hours]


def _rfc3339(moment: int, zone: int) -> str:
    day, rest = divmod(moment + zone * MINUTE, DAY)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date(day)}T{hour:02}:{minute:02}:{second:02}.{millis:03}{_offset(zone)}"


@lru_cache(maxsize=512)
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


@lru_cache(maxsize=64)
def _offset(zone: int) -> str:
    hours, minutes = divmod(abs(zone), 60)
    return f"{'-' if zone < 0 else '+'}{hours:02}:{minutes:02}"
