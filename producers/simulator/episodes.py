"""What happens to a customer, an episode at a time: visits, purchases, support, trouble.

An episode is a list of steps; it reads and moves the customer's mood.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from producers.simulator.catalogue import CAMPAIGNS, PAGES, PRODUCTS, REFERRERS, SEARCHES
from producers.simulator.contacts import (
    DAY,
    HOUR,
    MINUTE,
    Fields,
    Step,
    answer_of,
    answered,
    conversation,
    occasion_of,
    phone_call,
)
from producers.simulator.customers import Customer, name, new_cookie, pick
from producers.simulator.purchases import bought, new_serial

Episode = Callable[[Customer, Random], list[Step]]


def visit(customer: Customer, rng: Random, steps: int = 0) -> list[Step]:
    """A session on the website or in the app, of exactly `steps` steps where given."""
    if customer.known and steps != 1 and rng.random() < 0.05:
        return [*_new_browser(customer, rng), *_session(customer, rng, max(0, steps - 1))]
    return _session(customer, rng, steps)


def _session(customer: Customer, rng: Random, steps: int) -> list[Step]:
    channel = "app" if customer.by_app else "web"
    seen = customer.seen()
    landing: Fields = {"page": pick(PAGES, rng)}
    if rng.random() < 0.3:
        landing["campaign"] = pick(CAMPAIGNS, rng)
        landing["referrer"] = pick(REFERRERS, rng)
    taken: list[Step] = [(0, channel, "page_view", seen, landing)]
    for _ in range((steps or 1 + int(rng.expovariate(0.35))) - 1):
        gap = 4_000 + int(rng.random() * 90_000)
        draw = rng.random()
        if draw < 0.42:
            customer.wants(pick(PRODUCTS, rng))
            sku = customer.product.sku
            fields: Fields = {"product": sku, "page": f"/products/{sku.lower()}"}
            taken.append((gap, channel, "product_view", seen, fields))
        elif draw < 0.66:
            taken.append((gap, channel, "page_view", seen, {"page": pick(PAGES, rng)}))
        elif draw < 0.80:
            query = pick(SEARCHES[customer.language], rng)
            taken.append((gap, channel, "search", seen, {"properties": {"query": query}}))
        elif draw < 0.88:
            fields = {"product": customer.product.sku}
            taken.append((gap, channel, "add_to_cart", seen, fields))
        elif draw < 0.92:
            fields = {"product": customer.product.sku}
            taken.append((gap, channel, "remove_from_cart", seen, fields))
        elif draw < 0.96:
            taken.append((gap, channel, "help_view", seen, {"page": "/help/warranty"}))
        else:
            kind = "rage_click" if customer.mood < 0.45 else "help_view"
            taken.append((gap, channel, kind, seen, {"page": "/checkout"}))
    return taken


def introduce(customer: Customer, rng: Random) -> list[Step]:
    """The visit in which an anonymous customer says who they are."""
    steps = visit(customer, rng, 2 + int(rng.random() * 3))
    customer.known = True
    channel = "app" if customer.by_app else "web"
    proof = customer.phones[0] if customer.by_app else customer.email
    kind = "sign_up" if rng.random() < 0.6 else "sign_in"
    steps.append((25_000, channel, kind, customer.seen(proof), {}))
    if kind == "sign_up":
        steps.append((2_000, channel, "consent_granted", customer.seen(), {"purpose": "marketing"}))
    return steps


def purchase(customer: Customer, rng: Random) -> list[Step]:
    """From the cart to the doorstep; the lower the mood's luck, the later it comes."""
    late = rng.random() < 0.04 + 0.4 * (1 - customer.mood) ** 2
    return bought(customer, rng, late_days=1 + int(rng.expovariate(0.4)) if late else 0)


def chat(customer: Customer, rng: Random) -> list[Step]:
    """A conversation with support: a question, or what went wrong."""
    return conversation(customer, rng, occasion_of(customer, rng))


def call(customer: Customer, rng: Random) -> list[Step]:
    """A call to the call centre, with its notes, and a callback that is not always made."""
    steps = [phone_call(customer, rng, 0, occasion_of(customer, rng))]
    if rng.random() < 0.3:
        steps.append((2 * MINUTE, "call_center", "callback_promised", [customer.phones[0]], {}))
        if rng.random() < 0.35 + 0.6 * customer.mood:
            gap = 3 * HOUR + int(rng.random() * DAY)
            steps.append((gap, "call_center", "callback_made", [customer.phones[0]], {}))
            customer.nudge(0.05)
        else:
            customer.grievance = "ignored"
            customer.nudge(-0.12)
            steps.append(phone_call(customer, rng, 2 * DAY, "ignored"))
    return steps


def store(customer: Customer, rng: Random) -> list[Step]:
    """A visit to a branch."""
    who = [customer.id] if rng.random() < 0.6 else [customer.phones[0]]
    branch = customer.city.name
    steps: list[Step] = [(0, "store", "visit", who, {"branch": branch})]
    if rng.random() < 0.6:
        rating = answer_of(customer.mood, 1, 5, rng)
        fields: Fields = {"branch": branch, "rating": rating}
        if rng.random() < 0.5:
            fields["text"] = customer.say("praise" if rating >= 4 else "question", rng)
        steps.append((12 * MINUTE, "store", "staff_interaction", who, fields))
    return steps


def scan(customer: Customer, rng: Random) -> list[Step]:
    """A code on a package is scanned, by the phone that holds it."""
    fields = {
        "serial": new_serial(rng),
        "product": customer.product.sku,
        "region": customer.city.name,
    }
    who = [name("serial", fields["serial"]), customer.device]
    steps: list[Step] = [(0, "packaging", "scan", who, fields)]
    if rng.random() < 0.5:
        steps.append((20_000, "packaging", "authenticity_check", who, fields))
    return steps


def survey(customer: Customer, rng: Random) -> list[Step]:
    """A survey by e-mail; the unhappy and the delighted answer more often."""
    kind = pick(("nps", "csat", "ces"), rng)
    steps: list[Step] = [(0, "survey", "sent", [customer.email], {"survey": kind})]
    if rng.random() < 0.35 + abs(customer.mood - 0.5):
        gap = 10 * MINUTE + int(rng.expovariate(1 / (14 * HOUR)))
        steps.append(answered(customer, rng, gap, kind))
    return steps


def consent(customer: Customer, rng: Random) -> list[Step]:
    """A change of mind about marketing; most who withdraw are unhappy."""
    channel = "app" if customer.by_app else "web"
    kind = "consent_granted" if rng.random() < customer.mood else "consent_withdrawn"
    return [(0, channel, kind, customer.seen(), {"purpose": "marketing"})]


def trouble(customer: Customer, rng: Random) -> list[Step]:
    """Late, called, promised, ignored, complained, returned; then nothing more is heard."""
    steps = bought(customer, rng, late_days=4 + int(rng.random() * 7))
    customer.mood = min(customer.mood, 0.15)
    order = name("order", customer.order)
    fields: Fields = {"order": customer.order, "product": customer.product.sku}
    return [
        *steps,
        phone_call(customer, rng, 5 * HOUR, "late"),
        (2 * MINUTE, "call_center", "callback_promised", [customer.phones[0], order], {}),
        phone_call(customer, rng, 2 * DAY, "ignored"),
        *conversation(customer, rng, "ignored", gap=4 * HOUR),
        answered(customer, rng, DAY, "nps"),
        phone_call(customer, rng, 6 * HOUR, "leaving"),
        (DAY, "order", "returned", [order, customer.id], fields),
        (3 * DAY, "order", "refunded", [order, customer.id], fields),
        (
            HOUR,
            "web",
            "consent_withdrawn",
            [customer.cookie, customer.id],
            {"purpose": "marketing"},
        ),
    ]


# cumulative share -> episode, for a customer who is known
EPISODES: Final[tuple[tuple[float, Episode], ...]] = (
    (0.40, visit),
    (0.56, purchase),
    (0.69, chat),
    (0.80, call),
    (0.88, survey),
    (0.94, store),
    (0.98, scan),
    (1.0, consent),
)


def _new_browser(customer: Customer, rng: Random) -> list[Step]:
    customer.cookie = new_cookie(rng)
    return [(0, "web", "sign_in", [customer.cookie, customer.id, customer.email], {})]
