"""Health of a customer: a pure function of its state and a moment, with its reasons.

Health = Σ wᵢ·vᵢ / Σ wᵢ over the components that have evidence (weights as customer-success
scorecards do it; see docs/health.md), each vᵢ in 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.state import Part, Sums
from streams.core.journey import DAY_MS

WEIGHTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "sentiment": 25.0,
        "survey": 20.0,
        "effort": 15.0,
        "promises": 15.0,
        "resolution": 15.0,
        "engagement": 10.0,
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """What health depends on besides the state. Half-lives and windows in days."""

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    half_life: float = 30.0
    distress_half_life: float = 4.0
    contact_window: int = 14
    promise_window: int = 90
    idle_floor: float = 30.0


class Component(NamedTuple):
    """One component: `value` 0..1, `contribution` in points of health, and why in a phrase."""

    name: str
    value: float
    weight: float
    contribution: float
    why: str


class Health(NamedTuple):
    """`score` 0..100; `sentiment` −1000..1000 and `distress` 0..1000 milli-units.

    `causes` are distress's, strongest first.
    """

    score: int
    sentiment: int
    distress: int
    components: tuple[Component, ...]
    causes: tuple[str, ...]

    def reasons(self, most: int = 3) -> list[str]:
        """The components that cost the most, a sentence each, such as `−14: 3 contacts in 14 d`."""
        whole = sum(c.weight for c in self.components)
        losses = [(c.contribution - 100 * c.weight / whole, c) for c in self.components]
        return [
            f"−{-loss:.0f}: {component.why}"
            for loss, component in sorted(losses, key=lambda pair: pair[0])[:most]
            if loss <= -0.5
        ]


class _Window(NamedTuple):
    """Sums up to a moment: decayed by age, or whole over the last days."""

    sentiment: float
    texts: float
    survey: float
    surveys: float
    recent: Sums
    evidence: Mapping[str, float]  # distress cause -> evidence that adds, in nats
    touchpoints: int
    active_days: int
    last_day: int


# cause of distress -> (measure, nats per unit)
_CAUSES: Final = {
    "distressed words": ("distress", 1e-6),
    "repeated contact": ("calls", 0.12),
    "long waits": ("wait_seconds", 0.0002),
    "transfers": ("transfers", 0.15),
    "unresolved contact": ("unresolved", 0.55),
    "callback promised": ("callbacks_promised", 0.2),
    "errors": ("errors", 0.06),
    "rage clicks": ("rage_clicks", 0.2),
    "detractor": ("detractors", 0.35),
    "returns": ("returns", 0.2),
}
_RECENT: Final = (
    "calls",
    "messages",
    "unresolved",
    "resolved",
    "wait_seconds",
    "transfers",
    "errors",
    "rage_clicks",
    "callbacks_promised",
    "callbacks_made",
)


def score(part: Part, as_of_ms: int, policy: Policy = Policy()) -> Health:
    """Health as of a moment (epoch ms). Sums have a resolution of one UTC day."""
    window = _window(part.days, as_of_ms, policy)
    late, kept, overdue = _promises(part, as_of_ms, policy)
    components = [
        c
        for c in (
            _sentiment(window),
            _survey(window),
            _effort(window, policy),
            _promises_kept(late, kept, overdue),
            _resolution(part, as_of_ms),
            _engagement(part, window, as_of_ms, policy),
        )
        if c is not None
    ]
    weights = policy.weights
    whole = sum(weights[name] for name, _, _ in components) or 1.0
    explained = tuple(
        Component(name, value, weights[name], 100 * weights[name] * value / whole, why)
        for name, value, why in components
    )
    evidence = dict(window.evidence)
    if late + overdue:
        evidence["late delivery"] = 0.5 * (late + overdue)
    total = sum(evidence.values())
    return Health(
        score=round(sum(c.contribution for c in explained)),
        sentiment=round(1000 * window.sentiment / (window.texts + 1)),
        distress=round(1000 * (1 - exp(-total))),
        components=explained,
        causes=tuple(
            cause
            for cause, nats in sorted(evidence.items(), key=lambda pair: (-pair[1], pair[0]))
            if nats >= 0.05
        ),
    )


def _window(days: Mapping[int, Sums], as_of_ms: int, policy: Policy) -> _Window:
    today = as_of_ms // DAY_MS
    decay = log(2) / policy.half_life
    pain = log(2) / policy.distress_half_life
    sentiment = texts = survey = surveys = 0.0
    recent: Sums = {}
    evidence: dict[str, float] = {}
    touchpoints = active_days = 0
    last_day = 0
    for day in sorted(days):
        if day > today:
            break
        sums, age = days[day], today - day
        touchpoints += sums["touchpoints"]
        active_days += 1
        last_day = day
        weight = exp(-decay * age)
        if "texts" in sums:
            sentiment += weight * sums["sentiment"] / 1000
            texts += weight * sums["texts"]
        if "surveys" in sums:
            survey += weight * sums["survey"] / 1000
            surveys += weight * sums["surveys"]
        if "ratings" in sums:
            survey += weight * sums["rating"] / 1000
            surveys += weight * sums["ratings"]
        if age <= policy.contact_window:
            for measure in _RECENT:
                if measure in sums:
                    recent[measure] = recent.get(measure, 0) + sums[measure]
            fade = exp(-pain * age)
            for cause, (measure, nats) in _CAUSES.items():
                if measure in sums:
                    evidence[cause] = evidence.get(cause, 0.0) + fade * nats * sums[measure]
    return _Window(
        sentiment, texts, survey, surveys, recent, evidence, touchpoints, active_days, last_day
    )


_Value = tuple[str, float, str] | None


def _sentiment(window: _Window) -> _Value:
    if not window.texts:
        return None
    mean = window.sentiment / (window.texts + 1)  # one neutral text as prior
    return "sentiment", (1 + mean) / 2, f"what they write averages {mean:+.2f}"


def _survey(window: _Window) -> _Value:
    if not window.surveys:
        return None
    mean = window.survey / window.surveys
    return "survey", (1 + mean) / 2, f"surveys and ratings average {mean:+.2f}"


def _effort(window: _Window, policy: Policy) -> _Value:
    recent = window.recent
    contacts = recent.get("calls", 0) + recent.get("messages", 0)
    burden = (
        0.25 * contacts
        + recent.get("wait_seconds", 0) / 1800
        + 0.3 * recent.get("transfers", 0)
        + 0.1 * recent.get("errors", 0)
        + 0.3 * recent.get("rage_clicks", 0)
    )
    waited = recent.get("wait_seconds", 0) // 60
    why = f"{contacts} contacts in {policy.contact_window} days"
    if waited:
        why += f", {waited} minutes waiting"
    if recent.get("errors") or recent.get("rage_clicks"):
        why += f", {recent.get('errors', 0) + recent.get('rage_clicks', 0)} errors and rage clicks"
    return "effort", exp(-0.5 * burden), why


def _promises(part: Part, as_of_ms: int, policy: Policy) -> tuple[int, int, int]:
    """Orders (delivered late, kept, overdue now) whose promise fell in the window."""
    late = kept = overdue = 0
    oldest = as_of_ms - policy.promise_window * DAY_MS
    for promise in part.promises.values():
        if not oldest <= promise.promised_ms <= as_of_ms:
            continue
        if promise.delivered_ms and promise.delivered_ms <= as_of_ms:
            if promise.delivered_ms > promise.promised_ms:
                late += 1
            else:
                kept += 1
        elif not promise.cancelled_ms or promise.cancelled_ms > promise.promised_ms:
            overdue += 1
    return late, kept, overdue


def _promises_kept(late: int, kept: int, overdue: int) -> _Value:
    broken = late + overdue
    if not broken + kept:
        return None
    why = f"{broken} of {broken + kept} delivery promises broken"
    if overdue:
        why += f", {overdue} still overdue"
    return "promises", (kept + 0.25 * late) / (kept + broken), why


def _resolution(part: Part, as_of_ms: int) -> _Value:
    mark = part.latest.get("contact")
    if mark is None or mark.at_ms > as_of_ms:
        return None
    if mark.value == "resolved":
        return "resolution", 1.0, "the last contact was resolved"
    days = (as_of_ms - mark.at_ms) // DAY_MS
    return "resolution", 0.0, f"the last contact, {days} days ago, is unresolved"


def _engagement(part: Part, window: _Window, as_of_ms: int, policy: Policy) -> _Value:
    if not window.touchpoints:
        return None
    today = as_of_ms // DAY_MS
    idle = today - window.last_day
    span = window.last_day - part.first_ms // DAY_MS
    usual = max(policy.idle_floor, 2 * span / max(1, window.active_days - 1))
    value = exp(-log(2) * max(0.0, idle - usual) / usual)
    return "engagement", value, f"silent for {idle} days, usually {usual:.0f} at most"
