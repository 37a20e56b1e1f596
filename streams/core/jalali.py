"""The Jalali (Solar Hijri) calendar of Iran, to Gregorian dates and back."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

# In use since 1304 (1925); the 33-year rule is known to agree with the equinox until 1472.
FIRST_YEAR: Final = 1304
LAST_YEAR: Final = 1472
_NOWRUZ_1403: Final = date(2024, 3, 20)


def is_leap(year: int) -> bool:
    """Whether a Jalali year has 366 days, by the 33-year rule."""
    return (25 * year + 11) % 33 < 8


def to_gregorian(year: int, month: int, day: int) -> date:
    """The Gregorian date of a Jalali one; ValueError names the part that is out of range."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"year {year} is outside {FIRST_YEAR} to {LAST_YEAR}")
    if not 1 <= month <= 12:
        raise ValueError(f"month {month} is outside 1 to 12")
    length = 31 if month <= 6 else 30 if month <= 11 or is_leap(year) else 29
    if not 1 <= day <= length:
        raise ValueError(f"day {day} is outside 1 to {length} of month {month}, {year}")
    passed = 31 * (month - 1) if month <= 7 else 186 + 30 * (month - 7)
    return _NOWRUZ_1403 + timedelta(_days_before(year) - _days_before(1403) + passed + day - 1)


def from_gregorian(day: date) -> tuple[int, int, int]:
    """Year, month and day of a Gregorian date; ValueError where the calendar is not known."""
    passed = (day - _NOWRUZ_1403).days + _days_before(1403)
    year = passed * 33 // 12_053  # days of 33 years; at most one year off
    year += _days_before(year + 1) <= passed
    year -= _days_before(year) > passed
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"{day} is outside the years {FIRST_YEAR} to {LAST_YEAR}")
    passed -= _days_before(year)
    month, rest = divmod(passed, 31) if passed < 186 else divmod(passed - 186, 30)
    return year, month + (1 if passed < 186 else 7), rest + 1


def _days_before(year: int) -> int:
    return 365 * year + (8 * year + 21) // 33
