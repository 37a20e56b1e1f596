"""What accounts cost: a touchpoint of a contact, and of somebody without one; an account evaluated.

    python -m bench.accounts

CPU microseconds on one core, best of several rounds, with the shipped rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.outcome import Account, Contact, JourneyStep
from schemas.state import Part
from streams.core.accounts import stand as stand_account
from streams.core.contacts import NOBODY, tell
from streams.core.evidence import DAY_MS
from streams.core.journey import apply
from streams.core.policy import Policy
from streams.core.rules import RuleSet
from streams.core.stitch import stand
from streams.rules import load_rules

ROUNDS: Final = 7
REPEATS: Final = 2_000
NOW: Final = 20_600 * DAY_MS + DAY_MS // 2
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Account).decode
POLICY: Final = Policy()


def main() -> None:
    rules = load_rules(None)
    for name, account in (("without an account", ""), ("a contact of one", "B2B-1")):
        part = customer(account)
        rows = best(lambda part=part: published(part, rules))  # type: ignore[misc]
        found = stand("customer:C", part, ["customer:C"], {}, NOW, POLICY, rules, {})
        _, news = tell("customer:C", found.contact, NOBODY, 1_000, NOW)
        size = sum(len(_encode(one)) for one in news)
        print(
            f"{name:<20} {rows:6.2f} µs a touchpoint evaluated and encoded, "
            f"{len(_encode(found.health)):,} bytes, {size:,} more where the account notices"
        )
    for size in (3, 30, 300, 3_000):
        contacts = [contact(n, rules) for n in range(size)]
        known, _ = stand_account("B2B-1", contacts, None, NOW, POLICY, rules)
        value = _encode(known)
        took = best(
            lambda contacts=contacts, value=value: stand_account(  # type: ignore[misc]
                "B2B-1", contacts, _decode(value), NOW, POLICY, rules
            ),
            max(3, REPEATS // size),
        )
        print(f"account of {size:>5,} contacts {took:10.1f} µs, row {len(value):,} bytes")


def published(part: Part, rules: RuleSet) -> None:
    """What the stitch agent does for one customer."""
    health, _, found = stand("customer:C", part, ["customer:C"], {}, NOW, POLICY, rules, {})
    told: dict[str, tuple[int, int]] = {}
    if found is not None:
        told, news = tell("customer:C", found, NOBODY, 1_000, NOW)
        health = msgspec.structs.replace(health, told=told)
        for one in news:
            _encode(one)
    _encode(health)


def customer(account: str, seed: int = 0) -> Part:
    """A customer of forty touchpoints over four weeks."""
    part = Part()
    for n in range(40):
        apply(part, step(n, account, seed))
    return part


def contact(number: int, rules: RuleSet) -> Contact:
    """A contact as its account has it."""
    name = f"customer:c{number}"
    found = stand(name, customer("B2B-1", number), [name], {}, NOW, POLICY, rules, {}).contact
    assert found is not None
    return found


def step(number: int, account: str, seed: int) -> JourneyStep:
    """The nth touchpoint of a customer; every fourth is a call."""
    at_ms = NOW - (28 * DAY_MS // 40) * (40 - number)
    call = number % 4 == seed % 4
    role = ("decision_maker", "champion", "user")[seed % 3]
    return JourneyStep(
        event_id=f"{number}",
        occurred_ms=at_ms,
        anchor="customer:C",
        channel="call_center" if call else "web",
        type="call" if call else "page_view",
        stage="",
        identifiers=["customer:C"],
        account=account,
        text="",
        language="",
        sentiment=0,
        distress=0,
        scorer="",
        fields={"wait_seconds": "300", "resolved": "false"} if call else {},
        amount_minor=0,
        currency="",
        properties=f'{{"role": "{role}"}}' if account else "{}",
        received_ms=at_ms,
    )


def best(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Microseconds a call."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            work()
        found.append((time.process_time() - began) / repeats * 1e6)
    return min(found)


if __name__ == "__main__":
    main()
