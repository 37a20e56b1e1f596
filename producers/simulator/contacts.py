"""Getting in touch: conversations, calls and survey answers, coloured by mood and grievance."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from producers.simulator.catalogue import CALL_REASONS
from producers.simulator.customers import Customer, Names, name, pick

Fields = dict[str, Any]
# (milliseconds since the step before, channel, type, identifiers, fields)
Step = tuple[int, str, str, Names, Fields]

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
_SURVEYS: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}


def occasion_of(customer: Customer, rng: Random) -> str:
    """What they get in touch about."""
    if customer.grievance and rng.random() < 0.75:
        return customer.grievance
    if customer.mood > 0.75 and rng.random() < 0.3:
        return "praise"
    return "status" if customer.order and rng.random() < 0.5 else "question"


def conversation(customer: Customer, rng: Random, occasion: str, gap: int = 0) -> list[Step]:
    who = customer.seen() if rng.random() < 0.7 else [customer.id, customer.email]
    upset = occasion not in {"question", "status", "praise"}
    steps: list[Step] = [
        (gap, "chat", "message", who, {"direction": "inbound", "text": customer.say(occasion, rng)})
    ]
    answered = rng.random() < 0.6 + 0.4 * customer.mood
    if answered:
        reply: Fields = {"direction": "outbound", "text": customer.say("reply", rng)}
        steps.append((MINUTE + int(rng.random() * 20 * MINUTE), "chat", "message", who, reply))
    if upset and rng.random() < 0.5:
        again = customer.say("ignored" if not answered else occasion, rng)
        steps.append((3 * MINUTE, "chat", "message", who, {"direction": "inbound", "text": again}))
    solved = answered and rng.random() < (0.3 + 0.5 * customer.mood if upset else 0.92)
    steps.append((4 * MINUTE, "chat", "closed", who, {"direction": "outbound", "resolved": solved}))
    customer.nudge((0.06 if solved else -0.07) if upset else 0.01)
    if solved:
        customer.grievance = ""
    return steps


def phone_call(customer: Customer, rng: Random, gap: int, occasion: str) -> Step:
    upset = occasion in {"late", "faulty", "ignored", "leaving"}
    solved = rng.random() < (0.15 + 0.5 * customer.mood if upset else 0.9)
    who = [pick(customer.phones, rng)]
    if customer.order and rng.random() < 0.5:
        who.append(name("order", customer.order))
    fields: Fields = {
        "wait_seconds": int(rng.expovariate(1 / (420 if upset else 90))),
        "talk_seconds": 60 + int(rng.expovariate(1 / 240)),
        "transfers": int(rng.random() * (4 if upset else 2)),
        "resolved": solved,
        "reason": CALL_REASONS.get(occasion, "question"),
    }
    if rng.random() < 0.7:
        fields["text"] = customer.say(occasion if rng.random() < 0.6 else "note", rng)
    customer.nudge((0.05 if solved else -0.08) if upset else 0.0)
    return (gap, "call_center", "call", who, fields)


def answered(customer: Customer, rng: Random, gap: int, kind: str) -> Step:
    low, high = _SURVEYS[kind]
    answer = answer_of(customer.mood, low, high, rng)
    fields: Fields = {"survey": kind, "answer": answer}
    if rng.random() < 0.55:
        share = (answer - low) / (high - low)
        sour = customer.grievance or pick(("late", "faulty", "ignored"), rng)
        occasion = "praise" if share > 0.7 else sour if share < 0.5 else "note"
        if occasion != "note":
            fields["text"] = customer.say(occasion, rng)
    who = [customer.email, customer.id] if rng.random() < 0.5 else [customer.email]
    return (gap, "survey", "answered", who, fields)


def answer_of(mood: float, low: int, high: int, rng: Random) -> int:
    answer = low + (high - low) * mood + rng.gauss(0, 0.1 * (high - low))
    return min(high, max(low, round(answer)))
