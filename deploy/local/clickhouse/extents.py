"""Where a column of a Native block ends, by its type.

The protocol gives no lengths: the only way to know where a block ends is to walk its columns.
Walking is all the front does with values; chDB and the client are the ones that decode them.
Layout of each type: ClickHouse's ``src/DataTypes/Serializations``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from .faults import ServerFault
from .inbound import Inbound

_DEEPEST_TYPE = 64
_LONGEST_COLUMN = 1 << 40
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?\Z", re.DOTALL)

_WIDTHS = {
    "Nothing": 1, "Bool": 1, "UInt8": 1, "Int8": 1, "Enum8": 1,
    "UInt16": 2, "Int16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
    "UInt32": 4, "Int32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4,
    "Time": 4, "Decimal32": 4,
    "UInt64": 8, "Int64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8, "Decimal64": 8,
    "UInt128": 16, "Int128": 16, "UUID": 16, "IPv6": 16, "Decimal128": 16,
    "UInt256": 32, "Int256": 32, "Decimal256": 32,
}  # fmt: skip

_ALIASES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "Polygon": "Array(Ring)",
    "MultiLineString": "Array(LineString)",
    "MultiPolygon": "Array(Polygon)",
}


@dataclass(frozen=True, slots=True)
class Extent:
    """How to step over one column: first what precedes all data, then ``rows`` values."""

    prefix: Callable[[Inbound], None]
    values: Callable[[Inbound, int], None]

    def skip(self, inbound: Inbound, rows: int) -> None:
        self.prefix(inbound)
        self.values(inbound, rows)


@lru_cache(maxsize=4096)
def extent_of(type_name: str) -> Extent:
    """The extent of ``type_name``. Raises ServerFault for a type that cannot be walked."""
    return _extent(type_name, 0)


def _extent(type_name: str, depth: int) -> Extent:
    match = _TYPE.match(type_name.strip())
    if match is None or depth > _DEEPEST_TYPE:
        raise ServerFault(50, f"Unknown data type {type_name[:200]!r}")
    family, inner = match[1], match[2] or ""
    if family in _ALIASES:
        return _extent(_ALIASES[family], depth)
    if family in _WIDTHS:
        return _fixed(_WIDTHS[family])
    if family.startswith("Interval"):
        return _fixed(8)
    build = _BUILDERS.get(family)
    if build is None:
        raise ServerFault(
            48, f"Type {type_name[:200]} is not carried by the local front: cast it to String"
        )
    return build(inner, depth + 1)


def _no_prefix(_inbound: Inbound) -> None:
    return


def _fixed(width: int) -> Extent:
    return Extent(_no_prefix, lambda inbound, rows: inbound.skip(width * rows))


def _string(_inner: str, _depth: int) -> Extent:
    return Extent(_no_prefix, lambda inbound, rows: inbound.skip_strings(rows))


def _fixed_string(inner: str, _depth: int) -> Extent:
    return _fixed(_number(inner))


def _decimal(inner: str, _depth: int) -> Extent:
    precision = _number(inner.partition(",")[0])
    return _fixed(next(width for most, width in _DECIMAL_WIDTHS if precision <= most))


_DECIMAL_WIDTHS = ((9, 4), (18, 8), (38, 16), (1 << 62, 32))


def _number(text: str) -> int:
    if not text.strip().isdigit():
        raise ServerFault(50, f"Unknown data type: {text[:200]!r} should be a number")
    return int(text)


def _nullable(inner: str, depth: int) -> Extent:
    nested = _extent(inner, depth)

    def values(inbound: Inbound, rows: int) -> None:
        inbound.skip(rows)
        nested.values(inbound, rows)

    return Extent(nested.prefix, values)


def _array(inner: str, depth: int) -> Extent:
    return _array_of(_extent(inner, depth))


def _array_of(nested: Extent) -> Extent:
    def values(inbound: Inbound, rows: int) -> None:
        if not rows:
            return
        inbound.skip(8 * (rows - 1))
        total = inbound.uint64()
        if total > _LONGEST_COLUMN:
            raise ServerFault(101, f"An array column claims {total} elements")
        nested.values(inbound, total)

    return Extent(nested.prefix, values)


def _tuple(inner: str, depth: int) -> Extent:
    return _sequence([_extent(_without_name(part), depth) for part in split_arguments(inner)])


def _sequence(parts: list[Extent]) -> Extent:
    if not parts:
        return _fixed(1)

    def prefix(inbound: Inbound) -> None:
        for part in parts:
            part.prefix(inbound)

    def values(inbound: Inbound, rows: int) -> None:
        for part in parts:
            part.values(inbound, rows)

    return Extent(prefix, values)


def _map(inner: str, depth: int) -> Extent:
    return _array_of(_tuple(inner, depth))


def _simple_aggregate(inner: str, depth: int) -> Extent:
    return _extent(split_arguments(inner)[-1], depth)


def _low_cardinality(inner: str, depth: int) -> Extent:
    # NULL is entry 0 of the dictionary, so a nullable dictionary has no null map.
    nullable = re.fullmatch(r"Nullable\((.*)\)", inner.strip(), re.DOTALL)
    dictionary = _extent(nullable[1] if nullable else inner, depth)

    def prefix(inbound: Inbound) -> None:
        inbound.skip(8)

    def values(inbound: Inbound, rows: int) -> None:
        if not rows:
            return
        width = 1 << (inbound.uint64() & 0x3)
        entries = inbound.uint64()
        if entries > _LONGEST_COLUMN:
            raise ServerFault(101, f"A dictionary claims {entries} entries")
        dictionary.values(inbound, entries)
        inbound.skip(8 + width * rows)

    return Extent(prefix, values)


_BUILDERS: dict[str, Callable[[str, int], Extent]] = {
    "String": _string,
    "FixedString": _fixed_string,
    "Decimal": _decimal,
    "Nullable": _nullable,
    "Array": _array,
    "Tuple": _tuple,
    "Nested": lambda inner, depth: _array_of(_tuple(inner, depth)),
    "Map": _map,
    "LowCardinality": _low_cardinality,
    "SimpleAggregateFunction": _simple_aggregate,
}


def split_arguments(text: str) -> list[str]:
    """Split at the commas that lie outside parentheses, quotes and backticks."""
    parts: list[str] = []
    depth, start, quote, index = 0, 0, "", 0
    while index < len(text):
        char = text[index]
        if quote:
            if char == "\\":
                index += 1
            elif char == quote:
                quote = ""
        elif char in "'`\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
        index += 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


_ELEMENT_NAME = re.compile(r"(?:`(?:\\.|[^`\\])*`|\w+)\s+(?=\w)", re.DOTALL)


def _without_name(element: str) -> str:
    """``a Int32`` and ``Int32`` are both elements of a tuple."""
    match = _ELEMENT_NAME.match(element)
    return element[match.end() :] if match else element
