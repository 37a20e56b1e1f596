"""Hostile records between valid neighbours, each with what must become of it.

What is expected comes of how a record is made, or of `contract.judge`; never of the code tested.
The same seed gives the same records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from tests.fuzz.contract import judge

# The clock of the contract for a run in process. Times of valid records are two years before.
NOW: Final = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MALFORMED: Final = frozenset({"malformed_json"})
INVALID: Final = frozenset({"invalid_field"})
UNREADABLE: Final = MALFORMED | INVALID
BAD_TIME: Final = frozenset({"bad_time"})
OVERSIZED: Final = frozenset({"oversized"})
UNKNOWN: Final = frozenset({"unknown_field"})
MISSING: Final = frozenset({"missing_field"})
ANY: Final = UNREADABLE | BAD_TIME | OVERSIZED | UNKNOWN | MISSING | {"unknown_channel"}
VALID: Final[frozenset[str]] = frozenset()
NEIGHBOUR: Final = "valid neighbour"

Touchpoint = dict[str, Any]
Made = tuple[bytes | None, frozenset[str]]  # the record, and the reasons it may be rejected for


@dataclass(frozen=True, slots=True)
class Sample:
    """A record. `reasons` it may be rejected for; where empty it is valid, and has an id."""

    kind: str
    raw: bytes | None
    reasons: frozenset[str]
    event_id: UUID | None
    anchor: str  # its key, where it has one cookie and nothing stronger


def samples(seed: int, count: int, neighbours: float = 0.5) -> Iterator[Sample]:
    """So many records, about the share `neighbours` of them plain valid ones."""
    rng = Random(seed)
    kinds = list(KINDS)
    for number in range(count):
        touchpoint = _touchpoint(rng, seed, number)
        kind, made = NEIGHBOUR, _valid(touchpoint)
        if rng.random() >= neighbours:
            kind = kinds[rng.randrange(len(kinds))]
            made = KINDS[kind](rng, touchpoint)
        raw, reasons = made
        event_id = _event_id(raw) if raw is not None and not reasons else None
        anchor = f"cookie:{touchpoint['identifiers'][0]['value']}" if kind == NEIGHBOUR else ""
        yield Sample(kind, raw, reasons, event_id, anchor)


def _event_id(raw: bytes) -> UUID:
    return UUID(json.loads(raw)["event_id"])


def _touchpoint(rng: Random, seed: int, number: int) -> Touchpoint:
    """A valid touchpoint of one of 10,000 cookies; of no two the same event id."""
    channel = rng.choice(list(_FIELDS))
    moment = datetime(2024, 11, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(20 * 86_400))
    found: Touchpoint = {
        "event_id": str(UUID(int=(seed << 64) + number, version=4)),
        "occurred_at": moment.isoformat(),
        "channel": channel,
        "type": rng.choice(("page_view", "call", "placed", "x9_")),
        "identifiers": [{"kind": "cookie", "value": f"fuzz-{seed}-{rng.randrange(10_000)}"}],
    }
    for name, values in _FIELDS[channel].items():
        if rng.random() < 0.4:
            found[name] = rng.choice(values)
    if rng.random() < 0.3:
        found["text"] = rng.choice(_TEXTS)
    if rng.random() < 0.3:
        found["properties"] = {"role": "champion", "n": rng.randrange(100), "ok": True, "x": None}
    return found


_SHORTS: Final = ("P-7", "تهران", "a b")
_FIELDS: Final[Mapping[str, Mapping[str, tuple[Any, ...]]]] = {
    "web": {"page": ("/", ""), "product": _SHORTS, "campaign": _SHORTS},
    "app": {"referrer": ("/", ""), "product": _SHORTS},
    "packaging": {"serial": _SHORTS, "region": _SHORTS},
    "call_center": {"wait_seconds": (0, 900), "transfers": (3,), "resolved": (True, False)},
    "survey": {"survey": ("nps", "csat", "ces"), "answer": (1, 5)},
    "store": {"branch": _SHORTS, "rating": (1, 5)},
    "order": {
        "order": _SHORTS,
        "amount_minor": (-(10**15), 0, 10**15),
        "currency": ("IRR",),
        "promised_at": ("2024-12-01T00:00:00Z", "9999-12-31T23:59:59-23:59"),
    },
    "chat": {"direction": ("inbound", "outbound"), "resolved": (True,)},
    "outreach": {"rule": _SHORTS, "by": _SHORTS, "decision": _SHORTS},
}
_TEXTS: Final = ("سفارشم نرسیده!", "the parcel is late and nobody answers", "😡" * 20, " ")
_REQUIRED: Final = ("event_id", "occurred_at", "type", "identifiers", "channel")
_HOSTILE: Final = (
    "\u202e\u202d\u2066\u2069", "\u200b\u200c\u200d\u2060\ufeff", "a" + "\u0301" * 60,
    "\u0000\u0007", "\x1b[2J\x1b[31m", "\x9b31m\x85", "\ufffe\uffff\U0010ffff",
    "\U000e0041\U000e007f", "ﷺ﷽", "İıſß", "\u2028\u2029", "'; DROP TABLE touchpoints --",
    "\\\"'`%(x)s{}$user", "🏳️\u200d🌈👩\u200d👩\u200d👧", "\ue000", "٠١٢۳۴", "../../etc/passwd",
    "<script>", "=1+1", "\U00012345",
)  # fmt: skip
_WRONG_TYPES: Final[Mapping[str, tuple[tuple[Any, ...], frozenset[str]]]] = {
    "event_id": ((42, 1.5, True, [], {}, "", "42", "g" * 36), INVALID),
    "occurred_at": ((0, 1_795_334_400, 1.5, True, [], {}, "", "now", "1795334400"), BAD_TIME),
    "type": ((5, True, [], {}, "", "Page View", "é", "a" * 65, "9a", "a\n"), INVALID),
    "channel": (
        (3, True, [], {}, "", "telepathy", "WEB"),
        frozenset({"unknown_channel"}) | INVALID,
    ),
    "identifiers": (("x", 5, {}, [], True, ["x"], [[]], [None]), INVALID),
    "account": ((5, [], {}, True, "", " ", "a\u0000b", "\u001b"), INVALID),
    "text": ((5, [], {}, True), INVALID),
    "language": ((5, [], "de", "FA", ""), INVALID),
    "properties": ((5, [], "x", True, {"": 1}, {"a": {}}, {"a": []}), INVALID),
    "purpose": ((5, [], {}, "a\u0007b"), INVALID),
    "schema_version": ((0, 2, "1", [], {}, -1), INVALID),
}
_BAD_TIMES: Final = (
    "2024-11-01T10:00:00", "2024-11-01", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "2024-13-01T00:00:00Z", "2024-11-31T00:00:00Z",
    "2023-02-29T00:00:00Z", "2024-11-01T24:00:01Z", "2024-11-01T23:60:00Z", "2024-11-01T23:59:61Z",
    "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00+00:01", "2024-11-01T10:00:00+99:00",
    "12024-11-01T10:00:00Z", "-2024-11-01T10:00:00Z", "２０２４-11-01T10:00:00Z", "T",
    "          T", "2999-01-01T00:00:00Z",
)  # fmt: skip
_GOOD_TIMES: Final = (
    "1970-01-01T00:00:00Z", "2024-02-29T23:59:59+14:00", "2024-11-01T10:00:00.123456Z",
    "2024-11-01t10:00:00z", "2024-11-01T10:00:00-00:00", "2000-02-29T00:00:00-12:00",
)  # fmt: skip
_NUMBERS: Final = (
    "NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e999999999", "0x10", "01", "1.", ".5", "+1",
    "1e", "--1", "1_000", "٣",
)  # fmt: skip


def _encode(touchpoint: Touchpoint) -> bytes:
    return json.dumps(touchpoint, ensure_ascii=False).encode()


def _valid(touchpoint: Touchpoint) -> Made:
    return _encode(touchpoint), VALID


def _with(touchpoint: Touchpoint, name: str, text: str) -> bytes:
    """The touchpoint with a field given as JSON text, in the place of any it had, at the end."""
    rest = {key: value for key, value in touchpoint.items() if key != name}
    return _encode(rest)[:-1] + f', "{name}": {text}}}'.encode()


def _truncated(rng: Random, touchpoint: Touchpoint) -> Made:
    raw = _encode(touchpoint)
    return raw[: rng.randrange(1, len(raw))], MALFORMED


def _wrong_type(rng: Random, touchpoint: Touchpoint) -> Made:
    name = rng.choice(list(_WRONG_TYPES))
    values, reasons = _WRONG_TYPES[name]
    return _encode({**touchpoint, name: rng.choice(values)}), reasons


def _huge(rng: Random, touchpoint: Touchpoint) -> Made:
    size = rng.choice((65_536, 70_000, 200_000, 500_000)) if rng.random() < 0.02 else 65_600
    raw = rng.choice(
        (
            _encode({**touchpoint, "text": "x" * size}),
            _encode(touchpoint) + b" " * size,
            b"[" * size + b"]",
            b"\x00" * (size + 1),
        )
    )
    return raw, OVERSIZED


def _large(rng: Random, touchpoint: Touchpoint) -> Made:
    """At a limit, or one beyond."""
    over = rng.random() < 0.5
    name = rng.choice(("text", "account", "identifiers", "properties", "page", "bytes"))
    if name == "bytes":
        raw = _encode(touchpoint)
        return raw + b" " * (65_536 + over - len(raw)), OVERSIZED if over else VALID
    # Characters count, not bytes.
    value: Any = rng.choice("xی😀") * ({"text": 8192, "page": 2048}.get(name, 256) + over)
    if name == "identifiers":
        value = [{"kind": "device", "value": f"fuzz-{n}"} for n in range(16 + over)]
    elif name == "properties":
        value = {f"p{n}": n for n in range(64 + over)}
    elif name == "page":
        touchpoint = {k: touchpoint[k] for k in _REQUIRED} | {"channel": "web"}
    return _encode({**touchpoint, name: value}), OVERSIZED if over else VALID


def _deep(rng: Random, touchpoint: Touchpoint) -> Made:
    depth = rng.choice((2, 50, 150, 250, 5_000, 30_000))
    inner = "[" * depth + "]" * depth
    if rng.random() < 0.5:
        depth = min(depth, 5_000)
        inner = '{"a":' * depth + "1" + "}" * depth
    where = rng.choice(("properties", "text", "identifiers", "whole"))
    if where == "whole":
        return inner.encode(), ANY
    if where == "properties":
        return _with(touchpoint, where, f'{{"p": {inner}}}'), UNREADABLE
    return _with(touchpoint, where, inner), UNREADABLE | MISSING | UNKNOWN


def _raw_control(rng: Random, touchpoint: Touchpoint) -> Made:
    raw = _encode({**touchpoint, "text": "@@"})
    return raw.replace(b"@@", bytes([rng.randrange(0x20)])), MALFORMED


def _escaped_control(rng: Random, touchpoint: Touchpoint) -> Made:
    control = f"a{chr(rng.choice((*range(0x20), 0x7F)))}b"
    where = rng.choice(("text", "account", "identifiers"))
    value: Any = [{"kind": "cookie", "value": control}] if where == "identifiers" else control
    return _encode({**touchpoint, where: value}), VALID if where == "text" else INVALID


def _half_pair(rng: Random, touchpoint: Touchpoint) -> Made:
    half = rng.choice(
        (b"\\ud800", b"\\udfff", b"\\ud83dx", b"\\ud83d\\ud83d", b"\\udc00\\ud800", b"\\uD8")
    )
    place = rng.choice((b'"text": "@@"', b'"account": "@@"', b'"properties": {"@@": 1}'))
    rest = {k: v for k, v in touchpoint.items() if k in _REQUIRED}
    return _encode(rest)[:-1] + b", " + place.replace(b"@@", half) + b"}", MALFORMED


def _duplicate_keys(rng: Random, touchpoint: Touchpoint) -> Made:
    """The last of equal names counts."""
    name = rng.choice(_REQUIRED)
    wrong = rng.choice(("42", "null", "[]", '"?"'))
    raw = _encode(touchpoint)
    if rng.random() < 0.5:
        return f'{{"{name}": {wrong}, '.encode() + raw[1:], VALID
    if name == "channel":
        return raw[:-1] + b', "channel": "?"}', frozenset({"unknown_channel"})
    return raw[:-1] + f', "{name}": 42}}'.encode(), INVALID | BAD_TIME


def _not_a_number(rng: Random, touchpoint: Touchpoint) -> Made:
    number = rng.choice(_NUMBERS)
    if rng.random() < 0.5:
        return _with(touchpoint, "properties", f'{{"n": {number}}}'), UNREADABLE
    call = {k: touchpoint[k] for k in _REQUIRED} | {"channel": "call_center"}
    return _with(call, "wait_seconds", number), UNREADABLE


def _huge_number(rng: Random, touchpoint: Touchpoint) -> Made:
    digits = rng.choice((16, 19, 20, 39, 310, 4_000, 5_000))
    number = rng.choice(("", "-")) + "9" * digits
    place = rng.choice(("properties", "amount_minor", "answer", "schema_version", "event_id"))
    rest = {k: touchpoint[k] for k in _REQUIRED}
    if place == "properties":
        over = digits > 4_300
        return _with(rest, place, f'{{"n": {number}}}'), UNREADABLE if over else VALID
    channel = {"amount_minor": "order", "answer": "survey"}.get(place, "web")
    return _with(rest | {"channel": channel}, place, number), UNREADABLE


def _hostile_text(rng: Random, touchpoint: Touchpoint) -> Made:
    hostile = "".join(rng.choices(_HOSTILE, k=rng.randrange(1, 5)))
    shorts = "".join(c for c in hostile if c >= " " and c != "\x7f")
    changes: Touchpoint = {
        "text": hostile,
        "account": f"a{shorts}b",
        "properties": {f"k{hostile[:30]}": hostile, "role": hostile},
        "identifiers": [
            *touchpoint["identifiers"],
            {
                "kind": rng.choice(("device", "serial", "order", "phone", "email")),
                "value": f"z{shorts}z",
            },
        ],
    }
    name = rng.choice(list(changes))
    return json.dumps(
        {**touchpoint, name: changes[name]}, ensure_ascii=rng.random() < 0.5
    ).encode(), VALID


def _not_utf8(rng: Random, touchpoint: Touchpoint) -> Made:
    bad = rng.choice(
        (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80")
    )
    return _encode({**touchpoint, "text": "@@"}).replace(b"@@", bad), MALFORMED


def _nothing(rng: Random, _: Touchpoint) -> Made:
    return rng.choice((None, b"", b" ", b"\n\n", b"\x00")), MALFORMED


def _no_object(rng: Random, touchpoint: Touchpoint) -> Made:
    raw = _encode(touchpoint)
    return rng.choice(
        (
            b"null",
            b"true",
            b"1",
            b"1.5",
            b'"web"',
            b"[]",
            b"[" + raw + b"]",
            json.dumps(raw.decode()).encode(),
        )
    ), UNREADABLE


def _unknown_field(rng: Random, touchpoint: Touchpoint) -> Made:
    name = rng.choice(("colour", "Type", "event_id ", "", "__class__", "model_config", "x" * 3_000))
    return _encode({**touchpoint, name + rng.choice(("", *_HOSTILE)): 1}), UNKNOWN


def _missing_field(rng: Random, touchpoint: Touchpoint) -> Made:
    name = rng.choice(_REQUIRED)
    return _encode({k: v for k, v in touchpoint.items() if k != name}), MISSING


def _null_field(rng: Random, touchpoint: Touchpoint) -> Made:
    name = rng.choice(_REQUIRED)
    return _encode({**touchpoint, name: None}), INVALID | BAD_TIME | {"unknown_channel"} | MISSING


def _bad_time(rng: Random, touchpoint: Touchpoint) -> Made:
    return _encode({**touchpoint, "occurred_at": rng.choice(_BAD_TIMES)}), BAD_TIME


def _good_time(rng: Random, touchpoint: Touchpoint) -> Made:
    return _encode({**touchpoint, "occurred_at": rng.choice(_GOOD_TIMES)}), VALID


def _bad_promise(rng: Random, touchpoint: Touchpoint) -> Made:
    order = {k: touchpoint[k] for k in _REQUIRED} | {"channel": "order"}
    times = [t for t in _BAD_TIMES if not t.startswith(("9999", "2999"))]
    return _encode({**order, "promised_at": rng.choice(times)}), BAD_TIME


def _random_bytes(rng: Random, _: Touchpoint) -> Made:
    return bytes([rng.choice(b"\x00\x80\xff{[,:")]) + rng.randbytes(rng.randrange(200)), UNREADABLE


def _around(rng: Random, touchpoint: Touchpoint) -> Made:
    raw = _encode(touchpoint)
    return rng.choice(
        (
            b"\xef\xbb\xbf" + raw, raw.decode().encode("utf-16"), raw.decode().encode("utf-32"),
            raw + raw, raw + b"\n" + raw, raw + b"x", raw + b"\x00", b"x" + raw, raw + b",",
            raw.replace(b'"', b"'"), raw[:-1] + b",}", b"/**/" + raw,
        )
    ), MALFORMED  # fmt: skip


def _rewritten(rng: Random, touchpoint: Touchpoint) -> Made:
    """The same touchpoint in another spelling of JSON."""
    names = list(touchpoint)
    rng.shuffle(names)
    blank = rng.choice((" ", "\n", "\t\r\n  "))
    fields = [
        f"{blank}{_spelled(name)}{blank}:{blank}{json.dumps(touchpoint[name])}" for name in names
    ]
    return (blank + "{" + ",".join(fields) + "}" + blank).encode(), VALID


def _spelled(name: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"'


def _mutated(rng: Random, touchpoint: Touchpoint) -> Made:
    """A few bytes changed; what that makes of it the second contract says, where it can."""
    while True:
        raw = bytearray(_encode(touchpoint))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(raw))
            match rng.randrange(4):
                case 0:
                    raw[at] = rng.randrange(256)
                case 1:
                    raw[at] ^= 1 << rng.randrange(8)
                case 2:
                    del raw[at : at + rng.randrange(1, 4)]
                case _:
                    raw[at:at] = raw[at : at + rng.randrange(1, 9)]
        # A changed id could be another record's; a changed time could lie beyond this run's clock.
        verdict = judge(bytes(raw), NOW)
        if verdict is False:
            return bytes(raw), ANY
        if verdict and touchpoint["event_id"].encode() in raw and b'"2024-' in raw:
            return bytes(raw), VALID


KINDS: Final[Mapping[str, Callable[[Random, Touchpoint], Made]]] = {
    "truncated": _truncated,
    "wrong type": _wrong_type,
    "huge": _huge,
    "at a limit": _large,
    "deep nesting": _deep,
    "raw control character": _raw_control,
    "escaped control character": _escaped_control,
    "lone surrogate": _half_pair,
    "duplicate keys": _duplicate_keys,
    "NaN, Infinity, no number": _not_a_number,
    "huge number": _huge_number,
    "hostile Unicode": _hostile_text,
    "invalid UTF-8": _not_utf8,
    "empty or null": _nothing,
    "no object": _no_object,
    "unknown field": _unknown_field,
    "missing field": _missing_field,
    "null field": _null_field,
    "impossible time": _bad_time,
    "time at an edge": _good_time,
    "impossible promise": _bad_promise,
    "random bytes": _random_bytes,
    "something around it": _around,
    "other spelling": _rewritten,
    "mutated bytes": _mutated,
}
