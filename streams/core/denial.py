"""Values that identify nobody: fillers of forms, defaults of code, and our own addresses.

Checked before hashing. A denied value becomes `kind:denied`, which never links and never anchors.
"""

from __future__ import annotations

import re
from typing import Final

DENIED: Final = "denied"

# Compared case-folded, without surrounding blanks and punctuation.
_FILLERS: Final = frozenset(
    {
        DENIED,
        *(
            "null",
            "none",
            "nil",
            "nan",
            "void",
            "undefined",
            "unknown",
            "unassigned",
            "undisclosed",
        ),
        *(
            "anonymous",
            "anon",
            "guest",
            "default",
            "n/a",
            "na",
            "not available",
            "not set",
            "empty",
        ),
        *("test", "tester", "testing", "demo", "dummy", "example", "sample", "foo", "xxx", "asdf"),
        *("true", "false", "[object object]", "object object", "user", "customer", "private"),
        *("no-reply", "noreply", "no_reply", "donotreply", "do-not-reply"),
        *("ناشناس", "نامشخص", "نامعلوم", "ندارد", "تست", "آزمایشی", "مهمان", "خالی"),
    }
)
_PUNCTUATION: Final = " \t\"'`<>()[]{}-_.*#/\\"
_NUMBERED: Final = frozenset({"customer", "order", "email"})  # 11111 may well be a real one
_REPEATED: Final = re.compile(r"(\d)\1{4,}")
_SEQUENCES: Final = ("0123456789", "1234567890", "9876543210")
_MIN_SEQUENCE: Final = 6


def is_filler(kind: str, value: str) -> bool:
    """Whether a value, trimmed and with Latin digits, names nobody in particular."""
    folded = value.casefold()
    bare = folded.strip(_PUNCTUATION)
    if not bare or folded in _FILLERS or bare in _FILLERS:
        return True
    if kind == "email" and folded.partition("@")[0].partition("+")[0] in _FILLERS:
        return True
    solid = re.sub(r"[\s\-_.:+()]", "", folded)
    if not solid.strip("0"):
        return True
    if not solid.isdecimal() or kind in _NUMBERED:
        return False
    return _is_keyed_in(solid) or (kind == "phone" and _is_keyed_in(solid.lstrip("0")))


def is_filler_phone(national: str) -> bool:
    """Whether a phone's national number, digits only, is one that nobody has."""
    return _is_keyed_in(national)


def is_denied(identifier: str) -> bool:
    """Whether a normalised identifier was denied."""
    return identifier.endswith(":" + DENIED)


def _is_keyed_in(digits: str) -> bool:
    if _REPEATED.fullmatch(digits):
        return True
    return len(digits) >= _MIN_SEQUENCE and any(run.startswith(digits) for run in _SEQUENCES)
