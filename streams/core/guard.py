"""The guard of outreach: of what rules ask for, what is sent. Whom to link is `core.guards`.

Decisions depend on the requests, in their order, and on the moment each is decided. All that the
guard remembers stands in its own decisions, so a log of them is its memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import takewhile
from typing import Final, NamedTuple, TypeVar

from schemas.outcome import OutreachDecision, OutreachRequest
from streams.core.evidence import DAY_MS
from streams.core.quiet import day_of, zone_of
from streams.core.rules import Rule, RuleSet

HOLDOUT: Final = "holdout"
T = TypeVar("T")


class Contact(NamedTuple):
    """A decision that counts towards cooldown and a customer's cap."""

    at_ms: int
    rule: str


@dataclass(slots=True)
class Guard:
    """A rule set, and what was decided within `horizon_ms`.

    A customer held out is remembered like one reached, or the two could not be compared; only the
    account's cap and the budget do not count it.
    """

    ruleset: RuleSet
    rules: dict[str, Rule] = field(init=False)
    clock_ms: int = 0  # never goes back, whatever the clocks of the workers say
    decided: dict[str, tuple[int, str]] = field(default_factory=dict)  # id -> when, customer
    contacts: dict[str, list[Contact]] = field(default_factory=lambda: defaultdict(list))
    accounts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    turns: dict[tuple[str, str], int] = field(default_factory=dict)  # account, its rule -> when
    spent: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # day -> taken

    def __post_init__(self) -> None:
        self.rules = {rule.name: rule for rule in self.ruleset.rules}

    @property
    def horizon_ms(self) -> int:
        """For how long a decision matters: the longest of cooldowns and caps, two days at least."""
        limits = self.ruleset.limits
        caps = [cap.span_ms for cap in (limits.customer_cap, limits.account_cap) if cap]
        return max(2 * DAY_MS, *caps, *(rule.cooldown_ms for rule in self.ruleset.rules))

    def decide(self, request: OutreachRequest, now_ms: int) -> OutreachDecision | None:
        """The decision on a request, remembered; None where it was decided before."""
        if request.decision_id in self.decided:
            return None
        now_ms = max(now_ms, self.clock_ms)
        case = Case(self, request, self.rules.get(request.rule), now_ms)
        decision = _decision(case, *_objection(case))
        self.remember(decision)
        return decision

    def remember(self, decision: OutreachDecision) -> None:
        """Take a decision into account, as it was made here or read from the log."""
        if decision.decision_id in self.decided:
            return
        at_ms = decision.decided_ms
        self.clock_ms = max(self.clock_ms, at_ms)
        self.decided[decision.decision_id] = at_ms, decision.customer
        if decision.taken or decision.holdout:
            self.contacts[decision.customer].append(Contact(at_ms, decision.rule))
            rule = self.rules.get(decision.rule)
            if rule is not None and rule.account:
                self.turns[decision.account, decision.rule] = at_ms
        if decision.taken:
            if decision.account:
                self.accounts[decision.account].append(at_ms)
            limits = self.ruleset.limits
            self.spent[day_of(at_ms, zone_of("", limits.zone))] += 1

    def forget(self, now_ms: int) -> list[tuple[str, str]]:
        """Drop what matters no more: (customer, decision id) of each decision dropped."""
        oldest = now_ms - self.horizon_ms
        # In order of time, as they were made.
        gone = [
            (customer, id_)
            for id_, (_, customer) in takewhile(
                lambda known: known[1][0] <= oldest, self.decided.items()
            )
        ]
        for customer, id_ in gone:
            del self.decided[id_]
            _prune(self.contacts, customer, lambda contact: contact.at_ms > oldest)
        if gone:
            for account in list(self.accounts):
                _prune(self.accounts, account, lambda at_ms: at_ms > oldest)
            for turn in [turn for turn, at_ms in self.turns.items() if at_ms <= oldest]:
                del self.turns[turn]
            today = day_of(now_ms, zone_of("", self.ruleset.limits.zone))
            for day in [day for day in self.spent if day < today - 1]:
                del self.spent[day]
        return gone

    def erase(self, customer: str) -> list[str]:
        """Forget a customer; the ids of what was decided. What was spent on them stays spent."""
        self.contacts.pop(customer, None)
        gone = self.decided_on(customer)
        for id_ in gone:
            del self.decided[id_]
        return gone

    def decided_on(self, customer: str) -> list[str]:
        """The ids of what was decided on a customer."""
        return [id_ for id_, (_, whose) in self.decided.items() if whose == customer]

    def history(self, identifiers: Iterable[str]) -> list[Contact]:
        """Contacts of a customer under all the ids it has had, oldest first."""
        return sorted(c for name in identifiers for c in self.contacts.get(name, ()))


class Case(NamedTuple):
    """A request as it is decided. `rule` is None where the file has it no more."""

    guard: Guard
    request: OutreachRequest
    rule: Rule | None
    now_ms: int


def held_out(customer: str, salt: str, share: float) -> bool:
    """Whether a customer belongs to the share that is left alone: by hash, so for good."""
    drawn = int.from_bytes(sha256(f"{salt}\n{customer}".encode()).digest()[:8], "big")
    return drawn < share * 2**64


def _removed(case: Case) -> str | None:
    return "the rule is not in the file" if case.rule is None else None


def _consent(case: Case) -> str | None:
    said = case.request.consent
    if said == "withdrawn":
        return "consent withdrawn"
    asks = case.guard.ruleset.limits.ask_first
    return "consent not given" if asks and said != "granted" else None


def _quiet(case: Case) -> str | None:
    due_ms = _due(case)
    return f"until {_told(due_ms)}" if due_ms > case.now_ms else None


def _cooldown(case: Case) -> str | None:
    assert case.rule is not None  # `_removed` comes first
    history = case.guard.history(case.request.identifiers)
    turns = [contact.at_ms for contact in history if contact.rule == case.rule.name]
    if case.rule.account:  # whomever of its contacts it addressed
        turns.append(case.guard.turns.get((case.request.account, case.rule.name), 0))
    again_ms = max(turns, default=0) + case.rule.cooldown_ms
    return f"until {_told(again_ms)}" if case.now_ms < again_ms else None


def _customer_cap(case: Case) -> str | None:
    cap = case.guard.ruleset.limits.customer_cap
    if cap is None:
        return None
    since = case.now_ms - cap.span_ms
    counted = sum(c.at_ms > since for c in case.guard.history(case.request.identifiers))
    return _full(counted, cap.most, cap.span_ms)


def _account_cap(case: Case) -> str | None:
    cap = case.guard.ruleset.limits.account_cap
    if cap is None or not case.request.account:
        return None
    since = case.now_ms - cap.span_ms
    counted = sum(at > since for at in case.guard.accounts.get(case.request.account, ()))
    return _full(counted, cap.most, cap.span_ms)


def _budget(case: Case) -> str | None:
    limits = case.guard.ruleset.limits
    if limits.budget is None:
        return None
    today = day_of(case.now_ms, zone_of("", limits.zone))
    spent = case.guard.spent.get(today, 0)
    return f"{spent:,} of {limits.budget:,} today" if spent >= limits.budget else None


def _holdout(case: Case) -> str | None:
    limits = case.guard.ruleset.limits
    drawn = held_out(case.request.customer, limits.salt, limits.holdout)
    return "held out to compare with" if drawn else None


# What may suppress a request, in order; the first that objects is told. Holdout is last, so that
# those held out are those who would have been reached.
CHECKS: Final[dict[str, Callable[[Case], str | None]]] = {
    "rule_removed": _removed,
    "consent": _consent,
    "quiet_hours": _quiet,
    "cooldown": _cooldown,
    "customer_cap": _customer_cap,
    "account_cap": _account_cap,
    "budget": _budget,
    HOLDOUT: _holdout,
}


def _objection(case: Case) -> tuple[str, str]:
    """(Name of the check that objects, its detail), both empty where none does."""
    for name, check in CHECKS.items():
        detail = check(case)
        if detail is not None:
            return name, detail
    return "", ""


def _decision(case: Case, suppressed_by: str, detail: str) -> OutreachDecision:
    request, limits = case.request, case.guard.ruleset.limits
    taken = not suppressed_by
    zone = zone_of(request.zone, limits.zone)
    return OutreachDecision(
        decision_id=request.decision_id,
        customer=request.customer,
        rule=request.rule,
        decided_ms=case.now_ms,
        taken=taken,
        why=request.why,
        health=request.health,
        distress=request.distress,
        channel=request.channel,
        suppressed_by=suppressed_by,
        detail=detail,
        holdout=suppressed_by == HOLDOUT,
        due_ms=_due(case) if suppressed_by == "quiet_hours" else 0,
        expires_ms=limits.quiet.closes(case.now_ms, zone) if taken else 0,
        requested_ms=request.requested_ms,
        account=request.account,
        language=request.language,
        subject=request.subject if taken else "",
        body=request.body if taken else "",
        ways_out=request.ways_out,
        identifiers=request.identifiers if taken else [],
    )


def _due(case: Case) -> int:
    limits = case.guard.ruleset.limits
    return limits.quiet.opens(case.now_ms, zone_of(case.request.zone, limits.zone))


def _full(counted: int, most: int, span_ms: int) -> str | None:
    return f"{counted} in {span_ms / DAY_MS:g} days" if counted >= most else None


def _told(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _prune(held: dict[str, list[T]], name: str, keep: Callable[[T], bool]) -> None:
    if name in held:
        held[name] = [each for each in held[name] if keep(each)]
        if not held[name]:
            del held[name]
