"""A customer's live state: an order-free sum of parts, one for each anchor.

Applying touchpoints in any order gives the same part; uniting parts in any order gives the same
customer. Merge and un-merge only choose which parts are summed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from math import log
from typing import Final

from schemas.outcome import JourneyStep
from schemas.state import Mark, Part, PartUpdate, Promise, Sums
from streams.core.survey import BOXES, MOOD, disagree, outweigh

DAY_MS: Final = 86_400_000
MAX_SEEN: Final = 512
# Bounds of a part, so that it fits a message whatever is told. What is kept must not depend on the
# order of touchpoints: so keys are kept by a rank of their own, and days fold by their number.
MAX_CELLS: Final = 8_000  # measures of days; with more, days long past fold into blocks
FINE_BLOCKS: Final = 4  # the newest blocks, whose days stay apart
BLOCK: Final = 32  # days
COARSE: Final = 128  # days of a block of those long past
MAX_PROMISES: Final = 1_000
MAX_CURRENCIES: Final = 2  # of a day
MAX_PURPOSES: Final = 32
_MEASURES: Final = 42  # the most that a day can have
_LONG: Final = 64  # bytes of an order's name; a longer one is known by its hash
# Distress of a text as evidence that adds: −ln(1 − d) in micro-nats, for d in milli-units.
_EVIDENCE: Final = tuple(round(-1e6 * log(1 - min(d, 999) / 1000)) for d in range(1001))
# (channel, type) -> the measure that counts it, in `Part.troubles`
_TROUBLES: Final = {
    ("web", "error"): "errors",
    ("app", "error"): "errors",
    ("web", "rage_click"): "rage_clicks",
    ("app", "rage_click"): "rage_clicks",
    ("call_center", "call"): "calls",
    ("call_center", "callback_promised"): "callbacks_promised",
    ("call_center", "callback_made"): "callbacks_made",
    ("order", "returned"): "returns",
}
# and in `Part.days`
_COUNTED: Final = {
    ("web", "help_view"): "help_views",
    ("app", "help_view"): "help_views",
    ("web", "referral"): "referrals",
    ("app", "referral"): "referrals",
    ("store", "referral"): "referrals",
    ("order", "placed"): "orders",
    ("order", "refunded"): "refunds",
    ("order", "cancelled"): "cancellations",
}
# What the company does; it does not count as the customer's own activity.
_BY_COMPANY: Final = frozenset(
    {
        ("survey", "sent"),
        ("order", "shipped"),
        ("order", "delivered"),
        ("order", "installed"),
        ("order", "refunded"),
        ("order", "cancelled"),
        ("call_center", "callback_promised"),
        ("call_center", "callback_made"),
        ("chat", "closed"),
        ("outreach", "sent"),
        ("outreach", "unknown"),
    }
)
_TOLD: Final = ("role", "time_zone")
_NONE: Final[Sums] = {}
_SUMMED_FIELDS: Final = ("wait_seconds", "transfers")
_CONSENT: Final = "consent:"
_OUTREACH: Final = "consent:outreach"  # what outreach goes by, and `:` with a channel's name


def apply(part: Part, step: JourneyStep) -> None:
    """Count one touchpoint into its anchor's part; commutative, and not idempotent by itself."""
    at = step.occurred_ms
    day = at // DAY_MS
    if part.folded:
        if day // BLOCK > part.last_ms // DAY_MS // BLOCK:
            _fold(part, day)
        day = _bucket(day, max(day, part.last_ms // DAY_MS))
    kind = (step.channel, step.type)
    fields = step.fields
    cells = _cells_on(part, day)
    part.n += 1
    if at < part.first_ms or part.n == 1:
        part.first_ms = at
    part.last_ms = max(part.last_ms, at)
    own = kind not in _BY_COMPANY and fields.get("direction") != "outbound"
    if own:
        part.visits[day] = part.visits.get(day, 0) + 1
        part.last_visit_ms = max(part.last_visit_ms, at)
    else:
        _add(_sums(part.days, day), "notices", 1)
    measure = _COUNTED.get(kind)
    if measure is not None:
        _add(_sums(part.days, day), measure, 1)
    else:
        measure = _TROUBLES.get(kind)
        if measure is not None:
            _add(_sums(part.troubles, day), measure, 1)
    answer = _answer(part, day, fields) if "answer" in fields or "rating" in fields else None
    if own and step.scorer:
        _text(part, day, step, answer)
    if step.account:
        _mark(part, "account", step, step.account)
    if len(step.properties) > 2:
        _told(part, step)
    if step.stage:
        _mark(part, "stage", step, step.stage)
    if fields:
        _apply_fields(part, day, step)
    if step.channel == "order":
        _order(part, day, step)
    if part.n * _MEASURES > MAX_CELLS and not part.folded and cells != _cells_on(part, day):
        part.folded = _has_too_many_cells(part)
        if part.folded:
            _fold(part, part.last_ms // DAY_MS)


def bounds_met(part: Part) -> set[str]:
    """Where a part does not keep everything any more."""
    return {
        name
        for name, met in (
            ("days", part.folded),
            ("promises", len(part.promises) >= MAX_PROMISES),
        )
        if met
    }


def unite(parts: Iterable[Part]) -> Part:
    """The sum of parts as a new part: commutative, associative, with the empty part as zero."""
    total = Part()
    for part in parts:
        if part.n and (part.first_ms < total.first_ms or not total.n):
            total.first_ms = part.first_ms
        total.n += part.n
        total.last_ms = max(total.last_ms, part.last_ms)
        total.last_visit_ms = max(total.last_visit_ms, part.last_visit_ms)
        for into_days, days in ((total.days, part.days), (total.troubles, part.troubles)):
            for day, sums in days.items():
                into = into_days.setdefault(day, {})
                for measure, value in sums.items():
                    into[measure] = into.get(measure, 0) + value
        for day, visits in part.visits.items():
            total.visits[day] = total.visits.get(day, 0) + visits
        for day, contact in part.contacts.items():
            total.contacts[day] = max(contact, total.contacts.get(day, 0))
        for order, promise in part.promises.items():
            _unite_promise(total.promises.setdefault(order, Promise()), promise)
        for kind, mark in part.latest.items():
            known = total.latest.get(kind)
            if known is None or mark > known:
                total.latest[kind] = mark
    return total


class CustomerState:
    """The newest part of every anchor that is, or was, this customer's."""

    __slots__ = ("members",)

    def __init__(self) -> None:
        self.members: dict[str, PartUpdate] = {}

    def take(self, update: PartUpdate) -> bool:
        """Keep the update unless a newer one is known; say whether anything changed.

        The newest is the highest (epoch, n), so replays and races leave the same state.
        """
        known = self.members.get(update.anchor)
        if known is not None and (known.epoch, known.n) >= (update.epoch, update.n):
            return False
        self.members[update.anchor] = update
        return True

    def anchors(self) -> list[str]:
        """The anchors that belong to the customer now."""
        return [anchor for anchor, update in self.members.items() if update.part is not None]

    def parts(self) -> list[Part]:
        """Parts of the anchors that belong to the customer now."""
        return [update.part for update in self.members.values() if update.part is not None]


def _apply_fields(part: Part, day: int, step: JourneyStep) -> None:
    fields = step.fields
    for field in _SUMMED_FIELDS:
        if field in fields and fields[field] != "0":
            _add(_sums(part.troubles, day), field, int(fields[field]))
    if "resolved" in fields:
        resolved = fields["resolved"] == "true"
        _add(_sums(part.troubles, day), "resolved" if resolved else "unresolved", 1)
        contact = 2 * (step.occurred_ms - day * DAY_MS) + (not resolved)
        part.contacts[day] = max(contact, part.contacts.get(day, 0))
    if fields.get("direction") == "inbound":
        _add(_sums(part.troubles, day), "messages", 1)
    if "purpose" in fields and step.type in ("consent_granted", "consent_withdrawn"):
        _mark(part, _CONSENT + fields["purpose"], step, step.type[8:])
        if len(part.latest) > MAX_PURPOSES:
            _keep_purposes(part)


def _answer(part: Part, day: int, fields: dict[str, str]) -> int | None:
    """Count a survey's answer or a branch's rating; its mood in milli-units."""
    survey = fields.get("survey", "csat" if "rating" in fields else "")
    if survey not in MOOD:
        return None
    sums = _sums(part.days, day)
    answer = int(fields["answer"] if "answer" in fields else fields["rating"])
    mood = MOOD[survey][answer]
    _add(sums, "answers", 1)
    _add(sums, "answer_up" if mood > 0 else "answer_down", abs(mood))
    if "answer" in fields:
        _add(sums, f"{survey}_answers", 1)
        _add(sums, survey, answer)
        box = BOXES.get((survey, answer))
        if box is not None:
            _add(sums, box, 1)
        if box == "detractors":
            _add(_sums(part.troubles, day), box, 1)
    return mood


def _text(part: Part, day: int, step: JourneyStep, answer: int | None) -> None:
    sums = _sums(part.days, day)
    mood = step.sentiment
    if answer is not None:
        if disagree(answer, mood):
            _add(sums, "disagreements", 1)
            _mark(part, "review", step, f"answer {answer:+d}, text {mood:+d}")
        mood = outweigh(answer, mood)
    _add(sums, "texts", 1)
    if step.language not in ("", "und"):
        _mark(part, "language", step, step.language)
    if mood:
        _add(sums, "pleased" if mood > 0 else "hurt", abs(mood))
    if step.distress:
        _add(_sums(part.troubles, day), "distress", _EVIDENCE[step.distress])


def _told(part: Part, step: JourneyStep) -> None:
    """What properties say of the customer."""
    found = [name for name in _TOLD if f'"{name}"' in step.properties]
    if not found:
        return
    properties = json.loads(step.properties)
    for name in found:
        value = properties.get(name)
        if isinstance(value, str) and value:
            _mark(part, name, step, value)


def _order(part: Part, day: int, step: JourneyStep) -> None:
    if step.amount_minor:
        if step.type == "placed":
            _add_money(_sums(part.days, day), "spend", step.currency, step.amount_minor)
        elif step.type in ("refunded", "cancelled"):
            _add_money(_sums(part.days, day), "refund", step.currency, abs(step.amount_minor))
    order = step.fields.get("order")
    if not order:
        return
    promised_ms = int(step.fields.get("promised_at", 0))
    news = Promise(
        promised_ms=promised_ms,
        delivered_ms=step.occurred_ms if step.type == "delivered" else 0,
        cancelled_ms=step.occurred_ms if step.type in ("cancelled", "refunded") else 0,
        known_ms=step.occurred_ms if promised_ms else 0,
    )
    if promised_ms or news.delivered_ms or news.cancelled_ms:
        if len(order) * 4 > _LONG and len(raw := order.encode()) > _LONG:
            order = sha256(raw).hexdigest()
        _unite_promise(part.promises.setdefault(order, Promise()), news)
        if len(part.promises) > MAX_PROMISES:
            del part.promises[min(part.promises, key=_rank)]


def _rank(order: str) -> tuple[int, str]:
    """Where numbers count up, the newest order is the greatest."""
    return len(order), order


def _cells_on(part: Part, day: int) -> tuple[int, int, bool, bool]:
    days, troubles = part.days.get(day, _NONE), part.troubles.get(day, _NONE)
    return len(days), len(troubles), day in part.visits, day in part.contacts


def _has_too_many_cells(part: Part) -> bool:
    """Whatever money there is counts as two, or the number could shrink."""
    rows = len(part.visits) + len(part.contacts)
    if (len(part.days) + len(part.troubles)) * _MEASURES + rows <= MAX_CELLS:
        return False
    rows += sum(map(len, part.troubles.values()))
    for sums in part.days.values():
        money = sum(":" in measure for measure in sums)
        rows += len(sums) - money + 2 * bool(money)
    return rows > MAX_CELLS


def _bucket(day: int, newest: int) -> int:
    """The day under which a day counts: itself, or the first of its block where long past."""
    return day if day // BLOCK > newest // BLOCK - FINE_BLOCKS else day - day % COARSE


def _fold(part: Part, newest: int) -> None:
    """Count days long past under their blocks."""
    for days in (part.days, part.troubles):
        for day in [day for day in days if _bucket(day, newest) != day]:
            into = _sums(days, _bucket(day, newest))
            for measure, value in days.pop(day).items():
                _add(into, measure, value)
            _keep_currencies(into)
    for day in [day for day in part.visits if _bucket(day, newest) != day]:
        _add_day(part.visits, _bucket(day, newest), part.visits.pop(day))
    for day in [day for day in part.contacts if _bucket(day, newest) != day]:
        bucket = _bucket(day, newest)
        contact = part.contacts.pop(day) + 2 * (day - bucket) * DAY_MS  # ms of the block
        part.contacts[bucket] = max(contact, part.contacts.get(bucket, 0))


def _add_day(visits: dict[int, int], day: int, count: int) -> None:
    visits[day] = visits.get(day, 0) + count


def _add_money(sums: Sums, kind: str, currency: str, amount: int) -> None:
    measure = f"{kind}:{currency}"
    known = measure in sums
    _add(sums, measure, amount)
    if not known and len(sums) > MAX_CURRENCIES:
        _keep_currencies(sums)


def _keep_currencies(sums: Sums) -> None:
    """The first by the alphabet."""
    currencies = {measure.partition(":")[2] for measure in sums if ":" in measure}
    for currency in sorted(currencies)[MAX_CURRENCIES:]:
        sums.pop(f"spend:{currency}", None)
        sums.pop(f"refund:{currency}", None)


def _keep_purposes(part: Part) -> None:
    """What outreach goes by, then the shortest."""
    purposes = [kind for kind in part.latest if kind.startswith(_CONSENT)]
    purposes.sort(key=lambda kind: (not kind.startswith(_OUTREACH), len(kind), kind))
    for kind in purposes[MAX_PURPOSES:]:
        del part.latest[kind]


def _unite_promise(into: Promise, news: Promise) -> None:
    """The first promise made, the first delivery, the first cancellation."""
    into.promised_ms = _earliest(into.promised_ms, news.promised_ms)
    into.delivered_ms = _earliest(into.delivered_ms, news.delivered_ms)
    into.cancelled_ms = _earliest(into.cancelled_ms, news.cancelled_ms)
    into.known_ms = _earliest(into.known_ms, news.known_ms)


def _earliest(a: int, b: int) -> int:
    return min(a, b) if a and b else a or b


def _sums(days: dict[int, Sums], day: int) -> Sums:
    sums = days.get(day)
    if sums is None:
        sums = days[day] = {}
    return sums


def _add(sums: Sums, measure: str, value: int) -> None:
    sums[measure] = sums.get(measure, 0) + value


def _mark(part: Part, kind: str, step: JourneyStep, value: str) -> None:
    known = part.latest.get(kind)
    if known is not None and known.at_ms > step.occurred_ms:
        return
    mark = Mark(step.occurred_ms, step.event_id, value)
    if known is None or mark > known:
        part.latest[kind] = mark
