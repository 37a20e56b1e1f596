"""A customer's live state: an order-free sum of parts, one for each anchor.

Applying touchpoints in any order gives the same part; uniting parts in any order gives the same
customer. Merge and un-merge only choose which parts are summed.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log
from typing import Final

from schemas.outcome import JourneyStep
from schemas.state import Mark, Part, PartUpdate, Promise, Sums

DAY_MS: Final = 86_400_000
MAX_SEEN: Final = 512
# Distress of a text as evidence that adds: −ln(1 − d) in micro-nats, for d in milli-units.
_EVIDENCE: Final = tuple(round(-1e6 * log(1 - min(d, 999) / 1000)) for d in range(1001))
# Survey answer -> −1000..1000 milli-units: (CSAT − 3)/2, (CES − 4)/3, NPS 0 → −1, 7.5 → 0, 10 → 1.
_SURVEY: Final = {
    "csat": {a: (a - 3) * 500 for a in range(1, 6)},
    "ces": {a: round((a - 4) * 1000 / 3) for a in range(1, 8)},
    "nps": {a: round((a - 7.5) * 1000 / (2.5 if a > 7.5 else 7.5)) for a in range(11)},
}
# (channel, type) -> measure that counts it
_COUNTED: Final = {
    ("web", "error"): "errors",
    ("app", "error"): "errors",
    ("web", "rage_click"): "rage_clicks",
    ("app", "rage_click"): "rage_clicks",
    ("web", "help_view"): "help_views",
    ("app", "help_view"): "help_views",
    ("call_center", "call"): "calls",
    ("call_center", "callback_promised"): "callbacks_promised",
    ("call_center", "callback_made"): "callbacks_made",
    ("order", "placed"): "orders",
    ("order", "returned"): "returns",
    ("order", "refunded"): "refunds",
    ("order", "cancelled"): "cancellations",
}
_SUMMED_FIELDS: Final = (("wait_seconds", "wait_seconds"), ("transfers", "transfers"))


def apply(part: Part, step: JourneyStep) -> None:
    """Count one touchpoint into its anchor's part; commutative, and not idempotent by itself."""
    at = step.occurred_ms
    sums = part.days.get(at // DAY_MS)
    if sums is None:
        sums = part.days[at // DAY_MS] = {}
    part.n += 1
    if at < part.first_ms or part.n == 1:
        part.first_ms = at
    _add(sums, "touchpoints", 1)
    _mark(part, "seen", step, f"{step.channel}:{step.type}")
    measure = _COUNTED.get((step.channel, step.type))
    if measure:
        _add(sums, measure, 1)
    if step.scorer:
        _add(sums, "texts", 1)
        _add(sums, "sentiment", step.sentiment)
        if step.distress:
            _add(sums, "distress", _EVIDENCE[step.distress])
    if step.account:
        _mark(part, "account", step, step.account)
    if step.fields:
        _apply_fields(part, sums, step)


def unite(parts: Iterable[Part]) -> Part:
    """The sum of parts as a new part: commutative, associative, with the empty part as zero."""
    total = Part()
    for part in parts:
        if part.n and (part.first_ms < total.first_ms or not total.n):
            total.first_ms = part.first_ms
        total.n += part.n
        for day, sums in part.days.items():
            into = total.days.setdefault(day, {})
            for measure, value in sums.items():
                into[measure] = into.get(measure, 0) + value
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

    def parts(self) -> list[Part]:
        """Parts of the anchors that belong to the customer now."""
        return [update.part for update in self.members.values() if update.part is not None]


def _apply_fields(part: Part, sums: Sums, step: JourneyStep) -> None:
    fields = step.fields
    for field, measure in _SUMMED_FIELDS:
        if field in fields:
            _add(sums, measure, int(fields[field]))
    if "resolved" in fields:
        _contact(part, sums, step, fields["resolved"] == "true")
    if fields.get("direction") == "inbound":
        _add(sums, "messages", 1)
    if step.channel == "survey" and step.type == "answered":
        _survey(sums, fields)
    if "rating" in fields:
        _add(sums, "ratings", 1)
        _add(sums, "rating", _SURVEY["csat"][int(fields["rating"])])
    if step.type in ("consent_granted", "consent_withdrawn") and "purpose" in fields:
        _mark(part, "consent:" + fields["purpose"], step, step.type[8:])
    if step.channel == "order":
        _order(part, sums, step)


def _contact(part: Part, sums: Sums, step: JourneyStep, resolved: bool) -> None:
    _add(sums, "resolved" if resolved else "unresolved", 1)
    _mark(part, "contact", step, "resolved" if resolved else "unresolved")


def _survey(sums: Sums, fields: dict[str, str]) -> None:
    survey = fields.get("survey", "")
    if survey not in _SURVEY or "answer" not in fields:
        return
    answer = int(fields["answer"])
    _add(sums, f"{survey}_answers", 1)
    _add(sums, survey, answer)
    _add(sums, "surveys", 1)
    _add(sums, "survey", _SURVEY[survey][answer])
    if survey == "nps" and not 7 <= answer <= 8:
        _add(sums, "promoters" if answer > 8 else "detractors", 1)


def _order(part: Part, sums: Sums, step: JourneyStep) -> None:
    if step.type == "placed" and step.amount_minor:
        _add(sums, f"spend:{step.currency}", step.amount_minor)
    order = step.fields.get("order")
    if not order:
        return
    news = Promise(
        promised_ms=int(step.fields.get("promised_at", 0)),
        delivered_ms=step.occurred_ms if step.type == "delivered" else 0,
        cancelled_ms=step.occurred_ms if step.type in ("cancelled", "refunded") else 0,
    )
    if news.promised_ms or news.delivered_ms or news.cancelled_ms:
        _unite_promise(part.promises.setdefault(order, Promise()), news)


def _unite_promise(into: Promise, news: Promise) -> None:
    """The first promise made, the first delivery, the first cancellation."""
    into.promised_ms = _earliest(into.promised_ms, news.promised_ms)
    into.delivered_ms = _earliest(into.delivered_ms, news.delivered_ms)
    into.cancelled_ms = _earliest(into.cancelled_ms, news.cancelled_ms)


def _earliest(a: int, b: int) -> int:
    return min(a, b) if a and b else a or b


def _add(sums: Sums, measure: str, value: int) -> None:
    sums[measure] = sums.get(measure, 0) + value


def _mark(part: Part, kind: str, step: JourneyStep, value: str) -> None:
    known = part.latest.get(kind)
    if known is not None and known.at_ms > step.occurred_ms:
        return
    mark = Mark(step.occurred_ms, step.event_id, value)
    if known is None or mark > known:
        part.latest[kind] = mark
