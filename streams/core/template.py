"""What a customer is told: a text in two languages, with places filled from what is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Final

from schemas.outcome import CustomerHealth
from streams.core.phrases import Language, localised, named
from streams.core.policy import Policy

LANGUAGES: Final[tuple[Language, ...]] = ("en", "fa")
LINK: Final = "link"  # which the sender fills: only it knows the survey's address
# What a customer in any situation can be offered: name -> (English, Persian)
WAYS_OUT: Final = {
    "return": ("return it", "بازگرداندن کالا"),
    "replace": ("have it replaced", "تعویض کالا"),
    "upgrade": ("upgrade", "ارتقا"),
    "reschedule": ("choose another time", "تعیین زمان دیگر"),
    "refund": ("a refund", "بازگشت وجه"),
    "call_back": ("a call back", "تماس ما با شما"),
}
_SEGMENTS: Final = {
    "devotee": "وفادار",
    "promising": "امیدبخش",
    "at risk": "در خطر",
    "lost": "از دست رفته",
}
_BANDS: Final = {"red": "قرمز", "amber": "زرد", "green": "سبز"}


@dataclass(frozen=True, slots=True)
class Template:
    """A subject and a body in one language."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Known:
    """What places are filled from."""

    row: CustomerHealth
    policy: Policy
    silence: int  # days since the last visit
    ways_out: tuple[str, ...]
    about: Mapping[str, str] = field(default_factory=dict)  # what an alert is about


def _in_words(known: Known, language: Language) -> str:
    comma = "، " if language == "fa" else ", "
    return comma.join(WAYS_OUT[way][language == "fa"] for way in known.ways_out)


def _reason(known: Known, language: Language) -> str:
    """The costliest reason, without its points, which are ours and not the customer's."""
    reasons = known.row.reasons_fa if language == "fa" else known.row.reasons
    return reasons[0].partition(": ")[2] if reasons else ""


def _cause(known: Known, language: Language) -> str:
    cause = next(iter(known.row.causes), "")
    return named(cause, language) if cause else ""


def _band(known: Known, language: Language) -> str:
    band = known.policy.band(known.row.health)
    return _BANDS[band] if language == "fa" else band


def _segment(known: Known, language: Language) -> str:
    segment = known.row.segment
    return _SEGMENTS.get(segment, "") if language == "fa" else segment


# Places that a rule on an alert may use: what the alert is about
ABOUT: Final = ("product", "region", "campaign")
# placeholder -> what fills it
PLACES: Final[dict[str, Callable[[Known, Language], str]]] = {
    "customer": lambda known, _: known.row.customer,
    "account": lambda known, _: known.row.account,
    "role": lambda known, _: known.row.role,
    "health": lambda known, language: localised(str(known.row.health), language),
    "distress": lambda known, language: localised(str(known.row.distress), language),
    "silence": lambda known, language: localised(str(known.silence), language),
    "cause": _cause,
    "reason": _reason,
    "band": _band,
    "segment": _segment,
    "ways_out": _in_words,
    "product": lambda known, _: known.about.get("product", ""),
    "region": lambda known, _: known.about.get("region", ""),
    "campaign": lambda known, _: known.about.get("campaign", ""),
}


def places(text: str) -> list[str]:
    """The placeholders of a text. Raises ValueError where its braces do not pair, or say more."""
    found = []
    for _, name, spec, conversion in Formatter().parse(text):
        if name is None:
            continue
        if spec or conversion:
            raise ValueError(f"{{{name}}} is given a format; write the name alone")
        found.append(name)
    return found


def render(template: Template, known: Known, language: Language) -> Template:
    """The template with its places filled; a value is one line, and `{link}` stays."""
    names = {*places(template.subject), *places(template.body)}
    values: Mapping[str, str] = {
        name: "{link}" if name == LINK else " ".join(PLACES[name](known, language).split())
        for name in names
    }
    return Template(template.subject.format(**values), template.body.format(**values))
