"""Rules over history: what they would have asked the guard for, had they been live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.outcome import CustomerHealth, JourneyStep, OutreachRequest
from schemas.state import Part
from streams.core.evidence import DAY_MS
from streams.core.journey import apply
from streams.core.policy import Policy
from streams.core.rules import RuleSet
from streams.core.stitch import stand

_NOON: Final = DAY_MS // 2


def requests_of(
    customer: str,
    steps: Iterable[JourneyStep],
    ruleset: RuleSet,
    policy: Policy,
    since_ms: int,
    until_ms: int,
) -> Iterator[OutreachRequest]:
    """Requests of one customer's rules between two moments, in order of time.

    The customer is looked at as each touchpoint comes, when a duration is over or a rule may ask
    again, and daily at noon UTC. Live, it is looked at every minute: what comes true by silence
    alone may be told up to a day late here.
    """
    part, anchors = Part(), set[str]()
    known: CustomerHealth | None = None

    def look(at_ms: int) -> list[OutreachRequest]:
        nonlocal known
        reached, holding = (known.reached, known.holding) if known else ({}, {})
        known, asked = stand(
            customer, part, anchors, reached, at_ms, policy, ruleset, holding, received_ms=0
        )
        return asked

    now_ms = since_ms
    for step in steps:
        if step.occurred_ms > until_ms:
            break
        if anchors:
            while (due := _next(now_ms, known, part, ruleset)) < step.occurred_ms:
                now_ms = due
                yield from look(now_ms)
        apply(part, step)
        anchors.add(step.anchor)
        if step.occurred_ms >= since_ms:
            now_ms = step.occurred_ms
            yield from look(now_ms)
    while anchors and (due := _next(now_ms, known, part, ruleset)) <= until_ms:
        now_ms = due
        yield from look(now_ms)


def _next(now_ms: int, known: CustomerHealth | None, part: Part, ruleset: RuleSet) -> int:
    """The next moment after this one at which time alone may make a rule ask."""
    dues = [(now_ms - _NOON) // DAY_MS * DAY_MS + DAY_MS + _NOON]
    if known is not None:
        zone = part.latest.get("time_zone")
        where = zone.value if zone is not None else ""
        holds = {rule.name: rule.hold_ms for rule in ruleset.rules}
        dues += [since + holds[name] for name, since in known.holding.items()]
        dues += [ruleset.next_look(asked, where) for asked in known.reached.values()]
    return min(due for due in dues if due > now_ms)
