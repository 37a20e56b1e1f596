"""One simulated customer: who they are, how they are seen, and how they feel."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from producers.simulator.catalogue import AGENTS, CITIES, PRODUCTS, City, Product
from producers.simulator.texts_en import TEXTS as TEXTS_EN
from producers.simulator.texts_fa import TEXTS as TEXTS_FA

TEXTS: Final = {"fa": TEXTS_FA, "en": TEXTS_EN}
# (share, mean mood): content, ordinary and unlucky customers
_TEMPERS: Final = ((0.55, 0.80), (0.85, 0.58), (1.0, 0.28))
_PERSIAN_SHARE: Final = 0.6
_CONTACTS_APART: Final = 40  # customers 0, 10, 20, 30 are the contacts of one account
_PERSIAN_DIGITS: Final = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")

T = TypeVar("T")
Names = list[dict[str, str]]  # identifiers as a touchpoint carries them


def name(kind: str, value: str) -> dict[str, str]:
    """One identifier as the wire has it."""
    return {"kind": kind, "value": value}


@dataclass(slots=True)
class Customer:
    """Mutable state of one customer. `mood` is 0 (furious) to 1 (delighted)."""

    number: int
    language: str
    city: City
    mood: float
    leaver: bool  # ends in a chain of trouble, then silence
    visitor: bool  # never says who they are
    by_app: bool
    account: str | None
    cookie: dict[str, str]
    device: dict[str, str]
    id: dict[str, str]
    email: dict[str, str]
    phones: tuple[dict[str, str], ...]  # the same number, typed differently
    product: Product
    order: str = ""
    grievance: str = ""  # occasion of the last trouble
    known: bool = False
    quota: int = 0  # touchpoints still to come
    planned: int = 0
    starts_ms: int = 0
    ends_ms: int = 0
    slots: dict[str, str] = field(default_factory=dict)

    def seen(self, *more: dict[str, str]) -> Names:
        """Identifiers of a visit to the website or the app."""
        own = self.device if self.by_app else self.cookie
        return [own, self.id, *more] if self.known else [own, *more]

    def nudge(self, by: float) -> None:
        """Move the mood, within its bounds."""
        self.mood = min(1.0, max(0.0, self.mood + by))

    def say(self, occasion: str, rng: Random) -> str:
        """A text of theirs for the occasion."""
        texts = TEXTS[self.language][occasion]
        slots = self.slots
        slots["days"] = str(2 + int(rng.random() * 9))
        slots["agent"] = pick(AGENTS[self.language], rng)
        slots["order"] = self.order or "—"
        if self.language == "fa":
            slots["days"] = slots["days"].translate(_PERSIAN_DIGITS)
        return texts[int(rng.random() * len(texts))].format_map(slots)

    def wants(self, product: Product) -> None:
        """Turn their attention to a product."""
        self.product = product
        self.slots["product"] = product.fa if self.language == "fa" else product.en


def pick(choices: tuple[T, ...], rng: Random) -> T:
    """One of a tuple, evenly; cheaper than Random.choice."""
    return choices[int(rng.random() * len(choices))]


def new_customer(number: int, rng: Random) -> Customer:
    """Draw a customer. Name-bearing identifiers depend on `number` alone, so runs agree on them."""
    language = "fa" if rng.random() < _PERSIAN_SHARE else "en"
    draw = rng.random()
    temper = next(mean for share, mean in _TEMPERS if draw < share)
    mood = min(0.98, max(0.05, rng.gauss(temper, 0.1)))
    # Of every 25 customers two are a household that uses the app on one device.
    household = number % 25 in {6, 7}
    owner = number - number % 25 + 6 if household else number
    customer = Customer(
        number=number,
        language=language,
        city=pick(CITIES[language], rng),
        mood=mood,
        leaver=mood < 0.4 and rng.random() < 0.5,
        visitor=rng.random() < 0.12 and not household,
        by_app=rng.random() < 0.4 or household,
        account=f"B2B-{number // _CONTACTS_APART:05d}" if number % 10 == 0 else None,
        cookie=new_cookie(rng),
        device=name("device", f"dev-{owner:07d}"),
        id=name("customer", f"C-{number:07d}"),
        email=name("email", f"customer{number}@example.{'org' if number % 2 else 'com'}"),
        phones=_phones(number, language),
        product=PRODUCTS[0],
    )
    customer.slots["city"] = customer.city.name
    customer.wants(pick(PRODUCTS, rng))
    return customer


def new_cookie(rng: Random) -> dict[str, str]:
    """A browser that was never seen before."""
    return name("cookie", f"{rng.getrandbits(64):016x}")


def _phones(number: int, language: str) -> tuple[dict[str, str], ...]:
    # Prefixes that no operator has been given: 0970 in Iran, area code 555 in North America.
    if language == "fa":
        local = f"0970{number % 10_000_000:07d}"
        spellings: tuple[str, ...] = (
            local,
            local.translate(_PERSIAN_DIGITS),
            f"+98 {local[1:4]} {local[4:]}",
        )
    else:
        local = f"555{number % 10_000_000:07d}"
        spellings = (f"+1{local}", f"+1 {local[:3]}-{local[3:6]}-{local[6:]}")
    return tuple(name("phone", spelling) for spelling in spellings)
