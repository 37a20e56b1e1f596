"""Reasons in the reader's language: every phrase that health, distress and accounts use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

Language = Literal["en", "fa"]
Phrase = tuple[str, tuple[int, ...]]  # key of `PHRASES`, numbers that fill it

_PERSIAN_DIGITS: Final = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
_ORDINALS: Final[dict[Language, tuple[str, ...]]] = {
    "en": (
        "first", "second", "third", "fourth", "fifth",
        "sixth", "seventh", "eighth", "ninth", "tenth",
    ),
    "fa": (
        "نخستین", "دومین", "سومین", "چهارمین", "پنجمین",
        "ششمین", "هفتمین", "هشتمین", "نهمین", "دهمین",
    ),
}  # fmt: skip
_NTH: Final[dict[Language, str]] = {"en": "{}th", "fa": "{}مین"}
_COMMA: Final[dict[Language, str]] = {"en": ", ", "fa": "، "}

# key -> language -> text; of a pair, the first where the last number is 1
PHRASES: Final[dict[str, dict[Language, str | tuple[str, str]]]] = {
    "nth call": {
        "en": ("{nth} call in a day", "{nth} call in {1} days"),
        "fa": "{nth} تماس در {1} روز",
    },
    "nth contact": {
        "en": ("{nth} contact in a day", "{nth} contact in {1} days"),
        "fa": "{nth} مراجعه در {1} روز",
    },
    "calls": {"en": ("{0} calls in a day", "{0} calls in {1} days"), "fa": "{0} تماس در {1} روز"},
    "contacts": {
        "en": ("{0} contacts in a day", "{0} contacts in {1} days"),
        "fa": "{0} مراجعه در {1} روز",
    },
    "a call": {"en": "had to call", "fa": "ناچار به تماس شد"},
    "a contact": {"en": "had to get in touch", "fa": "ناچار به مراجعه شد"},
    "waited": {
        "en": ("waited 1 minute", "waited {0} minutes"),
        "fa": "{0} دقیقه انتظار پشت خط",
    },
    "transferred": {"en": "transferred {0} times", "fa": "{0} بار ارجاع به دیگری"},
    "callback not made": {
        "en": ("promised callback not made", "{0} promised callbacks not made"),
        "fa": ("قول تماس عملی نشد", "{0} قول تماس عملی نشد"),
    },
    "errors": {
        "en": ("1 error or rage click", "{0} errors and rage clicks"),
        "fa": "{0} خطا یا کلیک عصبی",
    },
    "overdue": {
        "en": (
            "order overdue for a day",
            "order overdue for {0} days",
        ),
        "fa": "سفارش {0} روز از موعد گذشته و نرسیده",
    },
    "orders overdue": {
        "en": (
            "{0} orders overdue, the longest for a day",
            "{0} orders overdue, the longest for {1} days",
        ),
        "fa": "{0} سفارش از موعد گذشته و نرسیده، تا {1} روز",
    },
    "cancelled late": {
        "en": ("1 order cancelled after its date", "{0} orders cancelled after their date"),
        "fa": "{0} سفارش پس از گذشتن موعد لغو شد",
    },
    "late deliveries": {
        "en": ("1 late delivery", "{0} late deliveries"),
        "fa": "{0} تحویل با تأخیر",
    },
    "delivered as promised": {"en": "delivered as promised", "fa": "تحویل به‌موقع"},
    "delivered at last": {"en": "delivered at last", "fa": "سرانجام تحویل شد"},
    "resolved": {"en": "resolved", "fa": "مشکل حل شد"},
    "unresolved": {"en": "unresolved", "fa": "حل‌نشده"},
    "unresolved for": {
        "en": ("unresolved for 1 day", "unresolved for {0} days"),
        "fa": "{0} روز است که حل نشده",
    },
    "they write kindly": {"en": "writes kindly", "fa": "با رضایت می‌نویسد"},
    "they write in anger": {"en": "writes with displeasure", "fa": "با نارضایتی می‌نویسد"},
    "good survey answers": {"en": "good survey answers", "fa": "پاسخ خوب در نظرسنجی"},
    "poor survey answers": {"en": "poor survey answers", "fa": "پاسخ بد در نظرسنجی"},
    "quiet": {
        "en": (
            "quiet for {0} days, usually back daily",
            "quiet for {0} days, usually back every {1}",
        ),
        "fa": "{0} روز بی‌خبر، معمولاً هر {1} روز سر می‌زد",
    },
    "not seen": {
        "en": ("not seen for 1 day", "not seen for {0} days"),
        "fa": "{0} روز است که سر نزده",
    },
    "back": {"en": "back again", "fa": "دوباره سر زد"},
    "fading": {"en": "past impressions fade", "fa": "تجربه‌های گذشته کم‌رنگ می‌شود"},
    "mean": {"en": "contacts average {0}", "fa": "میانگین مخاطبان {0}"},
}
CAUSES: Final[dict[str, str]] = {
    "distressed words": "نوشته‌های مضطرب",
    "frequent contact": "تماس‌های پیاپی",
    "repeat contact": "مراجعهٔ دوباره برای همان مشکل",
    "long waits": "انتظار طولانی",
    "transfers": "ارجاع‌های مکرر",
    "unresolved contact": "مشکل حل‌نشده",
    "broken callback promise": "تماس قول‌داده‌شده گرفته نشد",
    "late delivery": "تحویل دیرتر از موعد",
    "errors": "خطا",
    "rage clicks": "کلیک عصبی",
    "detractor": "نارضایتی در نظرسنجی",
    "returns": "مرجوعی",
}


_ROLES: Final = {
    "": ("the weakest contact", "ضعیف‌ترین مخاطب"),
    "decision_maker": ("the decision maker", "تصمیم‌گیرنده"),
    "champion": ("the champion", "حامی ما در سازمان"),
    "user": ("a user", "کاربر"),
}
_BANDS: Final = {"red": "قرمز", "amber": "زرد", "green": "سبز"}


def in_band(role: str, band: str, health: int, language: Language) -> str:
    """Who stands where, such as `the decision maker is red at 38`."""
    en, fa = _ROLES.get(role, (f"the {role.replace('_', ' ')}", role))
    if language == "en":
        return f"{en} is {band} at {health}"
    return localised(f"{fa} در وضعیت {_BANDS[band]} است: {health}", language)


@lru_cache(maxsize=1 << 12)
def phrase(key: str, numbers: tuple[int, ...], language: Language) -> str:
    """One phrase with its numbers filled in, digits as the language writes them."""
    text = PHRASES[key][language]
    if isinstance(text, tuple):
        text = text[numbers[-1] != 1]
    nth = ordinal(numbers[0], language) if "{nth}" in text else ""
    return localised(text.format(*numbers, nth=nth), language)


def named(cause: str, language: Language) -> str:
    """A cause of distress in the reader's language."""
    return CAUSES[cause] if language == "fa" else cause


def ordinal(n: int, language: Language) -> str:
    """`third`, `سومین`; figures above ten."""
    words = _ORDINALS[language]
    return words[n - 1] if n <= len(words) else _NTH[language].format(n)


def sentence(points: float, phrases: Sequence[Phrase], language: Language) -> str:
    """Points of health and what they are for, such as `−14: third call in 5 days, unresolved`."""
    sign = "−" if points < 0 else "+"
    why = _COMMA[language].join(phrase(key, numbers, language) for key, numbers in phrases)
    return f"{localised(f'{sign}{abs(points):.0f}', language)}: {why}"


def localised(text: str, language: Language) -> str:
    """The text with its digits as the language writes them."""
    return text.translate(_PERSIAN_DIGITS) if language == "fa" else text
