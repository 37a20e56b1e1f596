"""Rules of outreach: which of them a customer calls for. Whether to reach out, the guard decides.

A rule asks the guard when its conditions have held for its duration, and again a day later while
they hold; in quiet hours, when these end. A rule on an alert is asked for by `core.alerts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from schemas.outcome import CustomerHealth, OutreachRequest
from schemas.state import Part
from streams.core.evidence import DAY_MS
from streams.core.health import Health, score
from streams.core.phrases import Language
from streams.core.policy import Policy
from streams.core.quiet import NEVER, Quiet, zone_of
from streams.core.template import Known, Template, render

CHANNELS: Final = ("webhook", "email", "sms", "call_task", "survey_link", "kafka")
CONSENT: Final = "consent:outreach"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Range(NamedTuple):
    """Numbers above one and below another, both left out."""

    above: float = -inf
    below: float = inf

    def covers(self, number: float) -> bool:
        """Whether a number lies between."""
        return self.above < number < self.below


class Drop(NamedTuple):
    """Health lower by `points` than it was `days` ago."""

    points: int
    days: int


class Amount(NamedTuple):
    """An amount of minor units of a currency."""

    currency: str
    range: Range


class OnAlert(NamedTuple):
    """An alert by its name, and by which breakdowns of it; none means any.

    It is about customers in trouble from `back_ms` before it began.
    """

    name: str
    breakdowns: frozenset[str]  # names of `core.breakdown.BREAKDOWNS`
    back_ms: int


class Facts(NamedTuple):
    """What conditions look at: a customer as of a moment."""

    part: Part
    health: Health
    row: CustomerHealth
    policy: Policy

    @property
    def silence(self) -> float:
        """Days since the customer's last visit; since the first touchpoint where there is none."""
        return (self.row.evaluated_ms - (self.part.last_visit_ms or self.part.first_ms)) / DAY_MS

    def mark(self, kind: str) -> str:
        """The newest of what was said of one kind; empty where nothing was."""
        mark = self.part.latest.get(kind)
        return mark.value if mark is not None else ""


def _dropped(facts: Facts, drop: Drop) -> bool:
    then = facts.row.evaluated_ms - drop.days * DAY_MS
    if facts.part.first_ms > then:
        return False
    before = score(facts.part, then, facts.policy, facts.row.segment)
    return before.score - facts.health.score >= drop.points


# What an order or a callback was promised, and what came of it -> whether that hurts still
BROKEN: Final[dict[str, Callable[[Facts], bool]]] = {
    "overdue": lambda facts: facts.health.evidence.overdue > 0,
    "late": lambda facts: facts.health.evidence.late > 0 and "late delivery" in facts.health.causes,
    "cancelled": lambda facts: (
        facts.health.evidence.given_up > 0 and "late delivery" in facts.health.causes
    ),
    "callback": lambda facts: "broken callback promise" in facts.health.causes,
}

# condition -> whether it holds; numbers have the units of docs/health.md
CONDITIONS: Final[dict[str, Callable[[Facts, Any], bool]]] = {
    "health": lambda facts, range_: range_.covers(facts.row.health),
    "distress": lambda facts, range_: range_.covers(facts.row.distress),
    "sentiment": lambda facts, range_: range_.covers(facts.row.sentiment),
    "cause": lambda facts, any_of: not any_of.isdisjoint(facts.row.causes),
    "promise_broken": lambda facts, any_of: any(BROKEN[kind](facts) for kind in any_of),
    "silence": lambda facts, range_: range_.covers(facts.silence),
    "stage": lambda facts, any_of: facts.mark("stage") in any_of,
    "segment": lambda facts, any_of: facts.row.segment in any_of,
    "clv": lambda facts, amount: (
        facts.row.currency == amount.currency and amount.range.covers(facts.row.clv_minor)
    ),
    "alive": lambda facts, range_: facts.row.purchases > 0 and range_.covers(facts.row.alive),
    "gives": lambda facts, range_: range_.covers(facts.row.gives),
    "gets": lambda facts, range_: range_.covers(facts.row.gets),
    "purchases": lambda facts, range_: range_.covers(facts.row.purchases),
    "tenure": lambda facts, range_: range_.covers(facts.row.tenure),
    "account": lambda facts, any_of: facts.row.account in any_of,
    "has_account": lambda facts, wanted: bool(facts.row.account) == wanted,
    "role": lambda facts, any_of: facts.row.role in any_of,
    "health_drop": _dropped,  # last: it scores the customer once more
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Reach out by `channel` when every condition of `when` has held for `hold_ms`.

    With `on_alert`, when that alert fires, to those it is about and for whom the conditions hold.
    After it was taken, the guard takes it again `cooldown_ms` later at the earliest. A rule with
    conditions on the account is its account's (see `core.account_rules`): `to` says whom of the
    contacts it addresses, and `when` holds of that one.
    """

    name: str
    when: Mapping[str, Any]  # name of a condition -> what it compares with
    channel: str
    ways_out: tuple[str, ...]
    templates: Mapping[Language, Template]
    hold_ms: int = 0
    cooldown_ms: int = 14 * DAY_MS
    on_alert: OnAlert | None = None
    account: Mapping[str, Any] = field(default_factory=dict)  # as `when`, of its account
    to: tuple[str, ...] = ()  # roles at the account, the first choice first

    def holds(self, facts: Facts) -> bool:
        """Whether every condition holds."""
        return all(CONDITIONS[name](facts, value) for name, value in self.when.items())


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many in any span of so many milliseconds."""

    most: int
    span_ms: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the guard keeps to. `budget` is a day of `zone`; None means no limit."""

    zone: str = "UTC"  # where a customer's own is not known
    language: Language = "en"  # likewise
    quiet: Quiet = NEVER
    ask_first: bool = False  # whether only those who granted consent are reached
    customer_cap: Cap | None = None
    account_cap: Cap | None = None
    budget: int | None = None
    holdout: float = 0.0  # share of customers who are left alone, to compare with
    salt: str = ""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules in the order in which they may use up a customer's cap, and what limits them."""

    rules: tuple[Rule, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def of_accounts(self) -> list[Rule]:
        """The rules that accounts are looked at for, not customers."""
        return [rule for rule in self.rules if rule.account]

    def next_look(self, asked_ms: int, zone: str) -> int:
        """When a rule that asked the guard may ask again: see the module."""
        quiet, where = self.limits.quiet, zone_of(zone, self.limits.zone)
        opens = quiet.opens(asked_ms, where)
        return opens if opens > asked_ms else asked_ms + DAY_MS


class Asked(NamedTuple):
    """Requests to the guard, and what to remember: rule -> epoch ms, as in `CustomerHealth`."""

    requests: list[OutreachRequest]
    reached: dict[str, int]
    holding: dict[str, int]


def ask(
    facts: Facts,
    identifiers: Iterable[str],
    reached: Mapping[str, int],
    holding: Mapping[str, int],
    ruleset: RuleSet,
    received_ms: int = 0,
) -> Asked:
    """Requests of the rules whose conditions have held for long enough and may ask now."""
    now_ms = facts.row.evaluated_ms
    requests: list[OutreachRequest] = []
    held: dict[str, int] = {}
    for rule in ruleset.rules:
        if rule.on_alert is not None or rule.account or not rule.holds(facts):
            continue
        if rule.hold_ms:
            held[rule.name] = since = holding.get(rule.name, now_ms)
            if now_ms - since < rule.hold_ms:
                continue
        last = reached.get(rule.name, 0)
        if last and now_ms < ruleset.next_look(last, facts.mark("time_zone")):
            continue
        # Asked again by a worker that died before it remembered, it is the same question.
        question = f"{last}\n{now_ms // DAY_MS}"
        requests.append(request_of(rule, facts, identifiers, ruleset.limits, question, received_ms))
    if requests:
        reached = {**reached, **{request.rule: now_ms for request in requests}}
    return Asked(requests, dict(reached), held)


def request_of(
    rule: Rule,
    facts: Facts,
    identifiers: Iterable[str],
    limits: Limits,
    question: str,
    received_ms: int = 0,
    about: Mapping[str, str] = _NOTHING,
    why: str = "",
) -> OutreachRequest:
    """What a rule asks the guard about a customer; the same `question` is decided once.

    `about` fills places of the template that say what an alert is about; `why` is told before the
    customer's own reasons.
    """
    row = facts.row
    person = Person(
        row,
        sorted({row.customer, *identifiers}),
        facts.mark("time_zone"),
        facts.mark("language"),
        consent(facts.part, rule.channel),
        int(facts.silence),
    )
    reasons = "; ".join([why, *row.reasons] if why else row.reasons)
    occasion = Occasion(row.customer, question, row.evaluated_ms, reasons, received_ms, about)
    return request_to(person, rule, occasion, facts.policy, limits)


class Person(NamedTuple):
    """Whom a rule addresses."""

    row: CustomerHealth
    identifiers: list[str]
    zone: str
    language: str
    consent: str  # for the rule's channel
    silence: int  # days


class Occasion(NamedTuple):
    """Of whom a rule's conditions hold, when it asks, and why; see `request_of`."""

    of: str
    question: str
    now_ms: int
    why: str
    received_ms: int
    about: Mapping[str, str] = _NOTHING


def request_to(
    person: Person, rule: Rule, occasion: Occasion, policy: Policy, limits: Limits
) -> OutreachRequest:
    """What the guard is asked."""
    row, now_ms, said = person.row, occasion.now_ms, person.language
    identity = f"{occasion.of}\n{rule.name}\n{occasion.question}"
    # Persian may be written in Latin letters, which is fa-latn to the scorer.
    language: Language = ("fa" if said.startswith("fa") else "en") if said else limits.language
    known = Known(row, policy, person.silence, rule.ways_out, occasion.about)
    text = render(rule.templates[language], known, language)
    return OutreachRequest(
        decision_id=sha256(identity.encode()).hexdigest()[:32],
        customer=row.customer,
        identifiers=person.identifiers,
        rule=rule.name,
        channel=rule.channel,
        requested_ms=now_ms,
        why=occasion.why,
        health=row.health,
        distress=row.distress,
        account=row.account,
        zone=person.zone,
        consent=person.consent,
        language=language,
        subject=text.subject,
        body=text.body,
        ways_out=list(rule.ways_out),
        received_ms=occasion.received_ms,
    )


def consent(part: Part, channel: str) -> str:
    """`granted`, `withdrawn`, or nothing: what the customer last said of outreach by a channel.

    Said with the purpose `outreach`, or `outreach:email` of one channel. What was withdrawn as a
    whole is withdrawn until granted later; one channel stays withdrawn until granted by name.
    """
    whole, own = part.latest.get(CONSENT), part.latest.get(f"{CONSENT}:{channel}")
    if whole is None or own is None:
        said = whole or own
        return said.value if said is not None else ""
    return own.value if own.value == "withdrawn" or own > whole else whole.value
