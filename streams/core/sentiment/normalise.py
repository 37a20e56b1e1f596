"""Folding of Persian letters and digits, and the look-up key of one word."""

import re
import unicodedata
from typing import Final

ZWNJ: Final = "\u200c"

_DIGITS: Final[dict[int, str]] = {
    zero + n: str(n) for zero in (0x0660, 0x06F0, 0xFF10) for n in range(10)
}
# Letters that Arabic keyboards, old fonts and PDF copies put where Persian has another.
_LETTERS: Final[dict[int, str]] = {
    ord(source): target
    for source, target in {
        "ي": "ی",
        "ى": "ی",
        "ې": "ی",
        "ك": "ک",
        "ڪ": "ک",
        "ة": "ه",
        "ۀ": "ه",
        "ە": "ه",
        "ہ": "ه",
        "ھ": "ه",
        "أ": "ا",
        "إ": "ا",
        "ٱ": "ا",
        "ؤ": "و",
        "ئ": "ی",
    }.items()
}
_INVISIBLE: Final[dict[int, None]] = dict.fromkeys(
    [
        *range(0x064B, 0x0660),  # vowel marks
        0x0670,  # superscript alef
        0x0640,  # tatweel
        0x0621,  # hamza on its own
        0x00AD,  # soft hyphen
        *range(0x200B, 0x2010),  # zero-width space, ZWNJ, ZWJ, direction marks
        *range(0x202A, 0x202F),
        *range(0x2060, 0x206A),
        0xFEFF,
    ]
)
_APOSTROPHES: Final[dict[int, str]] = dict.fromkeys(map(ord, "’‘`´ʼ＇"), "'")


def _presentation_forms() -> dict[int, str]:
    forms: dict[int, str] = {}
    for code in [*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFF)]:
        plain = unicodedata.normalize("NFKC", chr(code))
        if plain != chr(code) and " " not in plain:
            forms[code] = plain.translate(_LETTERS)
    return forms


_PERSIAN: Final[dict[int, str]] = _presentation_forms() | _LETTERS | _DIGITS
_KEY: Final[dict[int, str | None]] = {**_PERSIAN, **_APOSTROPHES, **_INVISIBLE}

# Arabic script without its punctuation and digits: those also occur in Latin-script Persian.
_ARABIC_LETTER: Final = re.compile(
    "[\u0620-\u064a\u066e-\u06d3\u06fa-\u06ff\ufb50-\ufdff\ufe70-\ufefc]"
)
_LATIN_LETTER: Final = re.compile("[A-Za-z]")


def fold_digits(text: str) -> str:
    """Persian (۰-۹), Arabic (٠-٩) and full-width digits as ASCII ones; all else unchanged."""
    return text if text.isascii() else text.translate(_DIGITS)


def fold_persian(text: str) -> str:
    """Arabic yeh, kaf, teh marbuta and presentation forms as Persian letters, digits as ASCII.

    Keeps ZWNJ, diacritics and آ; compare `word_key`, which is for look-ups only.
    """
    return text if text.isascii() else text.translate(_PERSIAN)


def word_key(word: str) -> str:
    """The form under which a word is looked up: folded, lower-case, nothing invisible in it.

    Apostrophes go too (many leave them out), and an English 'll with them.
    """
    key = (word if word.isascii() else word.translate(_KEY)).lower()
    return key.removesuffix("'ll").replace("'", "") if "'" in key else key


def is_persian_script(text: str) -> bool:
    """Whether the letters of `text` are Arabic-script ones (in mixed text: at least a third)."""
    if text.isascii() or _ARABIC_LETTER.search(text) is None:
        return False
    if _LATIN_LETTER.search(text) is None:
        return True
    return 2 * len(_ARABIC_LETTER.findall(text)) >= len(_LATIN_LETTER.findall(text))


def has_latin(text: str) -> bool:
    """Whether there is an ASCII letter in `text`."""
    return _LATIN_LETTER.search(text) is not None
