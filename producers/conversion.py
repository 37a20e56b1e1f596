"""Text of a cell to a value of the wire, exactly: no floats for money, no times without zone."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from streams.core.jalali import to_gregorian

Conversion = Callable[[str], Any]
Options = dict[str, Any]

# Persian and Arabic digits and separators, as a keyboard in Iran types them.
_FOLD: Final = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩٫−", "01234567890123456789.-", "٬\u200e\u200f")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_TRUE: Final = frozenset({"true", "yes", "1", "بله"})
_FALSE: Final = frozenset({"false", "no", "0", "خیر"})
_EPOCH_UNITS: Final = {"seconds": 1_000, "milliseconds": 1}
_PARTS: Final = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ConversionError(ValueError):
    """A cell does not convert; the message says what was expected, without the cell's text."""


class OptionError(ValueError):
    """A mapping's option is wrong; the message names it."""


def fold(text: str) -> str:
    """Digits and decimal separators of Persian and Arabic as ASCII; thousands separators gone."""
    return text.translate(_FOLD)


def conversion_of(options: Options) -> Conversion:
    """How a column's text is converted, by its options; as it is without any. Empties `options`."""
    for option, make in _CONVERSIONS.items():
        if option in options:
            return make(options)
    _none_left(options)
    return str


def text_of(options: Options, used: set[str]) -> Callable[[dict[str, str]], str | None]:
    """`{template="cdnow-{id}"}`, None where a slot is blank; its columns are added to `used`."""
    template = options.pop("template")
    _none_left(options)
    if not isinstance(template, str):
        raise OptionError("template: give a text with {column} slots")
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise OptionError(f"template: {error}") from None
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise OptionError("template: slots take a column's name only")
    slots = [(literal, slot) for literal, slot, _, _ in parts]
    read = [slot for _, slot in slots if slot is not None]
    if not all(read):
        raise OptionError("template: a slot names no column")
    used.update(read)

    def text(row: dict[str, str]) -> str | None:
        if not all(row[slot].strip() for slot in read):
            return None
        return "".join(plain + (row[slot].strip() if slot else "") for plain, slot in slots)

    return text


def _amount(options: Options) -> Conversion:
    scale, thousands = options.pop("scale"), options.pop("thousands", "")
    _none_left(options)
    if not isinstance(scale, int) or not 0 <= scale <= 8:
        raise OptionError("scale: give the currency's decimals, 0 to 8")

    def minor_units(text: str) -> int:
        scaled = _decimal(text.replace(thousands, "")).scaleb(scale)
        if scaled != scaled.to_integral_value():
            raise ConversionError(f"has more than {scale} decimals")
        return int(scaled)

    return minor_units


def _time(options: Options) -> Conversion:
    pattern, zone_name = options.pop("format"), options.pop("zone", None)
    calendar = options.pop("calendar", "gregorian")
    _none_left(options)
    if not isinstance(pattern, str):
        raise OptionError("format: give a text such as %Y-%m-%d %H:%M:%S")
    if calendar not in {"gregorian", "jalali"}:
        raise OptionError("calendar: give gregorian or jalali")
    if zone_name is None and "%z" not in pattern:
        raise OptionError('zone: is missing; give one such as "Asia/Tehran" or "UTC"')
    zone = _zone(zone_name) if zone_name is not None else None
    parse = _jalali(pattern) if calendar == "jalali" else _gregorian(pattern)

    @lru_cache(maxsize=4096)  # files repeat dates, and strptime is slow
    def moment(text: str) -> str:
        parsed = parse(fold(text))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).isoformat()

    return moment


def _epoch(options: Options) -> Conversion:
    unit = options.pop("epoch")
    _none_left(options)
    if unit not in _EPOCH_UNITS:
        raise OptionError("epoch: give seconds or milliseconds")
    factor = _EPOCH_UNITS[unit]

    def moment(text: str) -> str:
        try:
            return (_EPOCH + timedelta(milliseconds=int(_decimal(text) * factor))).isoformat()
        except OverflowError:
            raise ConversionError(f"is not a time in {unit} since 1970") from None

    return moment


def _typed(options: Options) -> Conversion:
    kind = options.pop("as")
    _none_left(options)
    if kind not in _TYPES:
        raise OptionError(f"as: give one of {', '.join(_TYPES)}")
    return _TYPES[kind]


def _looked_up(options: Options) -> Conversion:
    table = options.pop("values")
    _none_left(options)
    if not isinstance(table, dict):
        raise OptionError('values: give a table such as {buy="placed"}')

    def value(text: str) -> Any:
        try:
            return table[text]
        except KeyError:
            raise ConversionError(f"is none of {', '.join(table)}") from None

    return value


def _integer(text: str) -> int:
    number = _decimal(text)
    if number != number.to_integral_value():
        raise ConversionError("is not a whole number")
    return int(number)


def _boolean(text: str) -> bool:
    word = fold(text).casefold()
    if word not in _TRUE | _FALSE:
        raise ConversionError("is neither true nor false")
    return word in _TRUE


_TYPES: Final[dict[str, Conversion]] = {
    "integer": _integer,
    "number": lambda text: float(_decimal(text)),
    "boolean": _boolean,
}
# option that calls for a conversion -> what makes it of the column's options
_CONVERSIONS: Final[dict[str, Callable[[Options], Conversion]]] = {
    "scale": _amount,
    "format": _time,
    "epoch": _epoch,
    "as": _typed,
    "values": _looked_up,
}


def _decimal(text: str) -> Decimal:
    folded = fold(text)
    if not _NUMBER.fullmatch(folded) or len(folded) > 40:
        raise ConversionError("is not a number such as 1234.50")
    return Decimal(folded)


def _zone(name: object) -> tzinfo:
    try:
        return ZoneInfo(str(name))
    except (OSError, ValueError, KeyError):
        raise OptionError(f"zone: {name} is not known; give one such as Asia/Tehran") from None


def _gregorian(pattern: str) -> Callable[[str], datetime]:
    def parse(text: str) -> datetime:
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            raise ConversionError(f"is not a time written as {pattern}") from None

    return parse


def _jalali(pattern: str) -> Callable[[str], datetime]:
    expression = re.escape(pattern)
    for part, width in _PARTS.items():
        expression = expression.replace(part, rf"(?P<{part[1:]}>\d{{1,{width}}})", 1)
    if not all(f"<{part}>" in expression for part in "Ymd") or "%" in expression:
        raise OptionError(f"format: a Jalali time takes {' '.join(_PARTS)}, each once")
    compiled = re.compile(expression, re.ASCII)

    def parse(text: str) -> datetime:
        match = compiled.fullmatch(text)
        if match is None:
            raise ConversionError(f"is not a Jalali time written as {pattern}")
        parts = {part: int(digits) for part, digits in match.groupdict().items()}
        try:
            day: date = to_gregorian(parts["Y"], parts["m"], parts["d"])
            hour, minute, second = (parts.get(part, 0) for part in "HMS")
            return datetime(day.year, day.month, day.day, hour, minute, second)
        except ValueError as error:
            raise ConversionError(str(error)) from None

    return parse


def _none_left(options: Options) -> None:
    if options:
        raise OptionError(f"{min(options)}: does not belong with the other options")
