"""Buying: from the cart to the doorstep, and what follows a delivery."""

from __future__ import annotations

from random import Random
from typing import Final

from producers.simulator.contacts import DAY, HOUR, MINUTE, Fields, Step, answered, conversation
from producers.simulator.customers import Customer, Names, name, pick

_ORDER_SIGNS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32, none like another


def bought(customer: Customer, rng: Random, late_days: int) -> list[Step]:
    channel = "app" if customer.by_app else "web"
    seen = customer.seen()
    product = customer.product
    customer.order = "ORD-" + "".join(_ORDER_SIGNS[rng.getrandbits(5)] for _ in range(8))
    order = name("order", customer.order)
    quantity = 1 + int(rng.expovariate(2.5)) + (9 if customer.account else 0)
    rials = customer.language == "fa"
    promised = (3 + int(rng.random() * 4)) * DAY
    base: Fields = {"order": customer.order, "product": product.sku}
    paid: Fields = {
        **base,
        "amount_minor": quantity * (product.rials if rials else product.cents),
        "currency": "IRR" if rials else "USD",
        "properties": {"quantity": quantity},
    }
    placed_by = [order, customer.id, customer.phones[0], *seen[:1]]
    after = [order, customer.id] if rng.random() < 0.7 else [order]
    steps: list[Step] = [
        (0, channel, "product_view", seen, {"product": product.sku}),
        (40_000, channel, "add_to_cart", seen, {"product": product.sku}),
        (70_000, channel, "checkout", seen, {"page": "/checkout"}),
        (90_000, "order", "placed", placed_by, {**paid, "promised_at": promised}),
        (30_000, "order", "paid", after, paid),
    ]
    if rng.random() < 0.04:
        customer.nudge(-0.05)
        return [*steps, (3 * HOUR, "order", "cancelled", after, base)]
    steps += _delivered(customer, rng, after, promised, late_days)
    customer.nudge(-0.06 * late_days if late_days else 0.04)
    if late_days:
        customer.grievance = "late"
    elif rng.random() < 0.06 + 0.15 * (1 - customer.mood):
        customer.grievance = "faulty"
        customer.nudge(-0.15)
    else:
        customer.grievance = ""
    return steps + _unpacked(customer, rng, after)


def _delivered(
    customer: Customer, rng: Random, after: Names, promised: int, late_days: int
) -> list[Step]:
    """Shipped and delivered; where it is late by days, the customer asks in between."""
    fields: Fields = {
        "order": customer.order,
        "product": customer.product.sku,
        "promised_at": promised,
    }
    arrives = promised + late_days * DAY if late_days else promised - 3 * DAY // 2
    ships = arrives - (DAY + int(rng.random() * DAY) if late_days else DAY)
    # (milliseconds after payment, the step but for its gap)
    timed: list[tuple[int, tuple[str, str, Names, Fields]]] = [
        (ships, ("order", "shipped", after, fields)),
        (arrives, ("order", "delivered", after, fields)),
    ]
    if late_days > 2 and rng.random() < 0.7:
        asked: Fields = {"direction": "inbound", "text": customer.say("status", rng)}
        timed.append((promised + 8 * HOUR, ("chat", "message", customer.seen(), asked)))
        timed.sort(key=lambda step: step[0])
    gaps = [at - before for (at, _), (before, _) in zip(timed, [(0, None), *timed], strict=False)]
    return [(gap, *step) for gap, (_, step) in zip(gaps, timed, strict=True)]


def _unpacked(customer: Customer, rng: Random, after: Names) -> list[Step]:
    """What follows a delivery: registering, installing, a survey, or sending it back."""
    steps: list[Step] = []
    sku = customer.product.sku
    base: Fields = {"order": customer.order, "product": sku}
    if rng.random() < 0.5:
        serial = new_serial(rng)
        fields: Fields = {"serial": serial, "product": sku, "region": customer.city.name}
        scanned = [name("serial", serial), customer.device]
        registered = [name("serial", serial), customer.id, customer.phones[-1]]
        steps += [
            (5 * HOUR, "packaging", "scan", scanned, fields),
            (2 * MINUTE, "packaging", "register", registered, fields),
        ]
    if rng.random() < 0.25:
        steps.append((DAY, "order", "installed", after, base))
    if customer.grievance == "faulty":
        steps += conversation(customer, rng, "faulty", gap=9 * HOUR)
        if rng.random() < 0.6:
            steps += [
                (2 * DAY, "order", "returned", after, base),
                (3 * DAY, "order", "refunded", after, base),
            ]
    if rng.random() < 0.4:
        steps.append(answered(customer, rng, DAY, pick(("nps", "csat"), rng)))
    return steps


def new_serial(rng: Random) -> str:
    return f"SN{rng.getrandbits(40):010X}"
