"""Dead letters for people: nothing of a stranger's bytes acts on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.dead_letters import Letter
from commands.plain import plain, plain_bytes

_BEGINNING: Final = 60  # characters of a record in the list
_MOST: Final = 8_192  # bytes of a record shown; --json has all that were kept


def show_letters(out: Console, counts: Mapping[str, int], letters: Iterable[Letter]) -> None:
    """Letters by reason, then a line or two of each."""
    told = ", ".join(f"{reason} {count:,}" for reason, count in counts.items()) or "none"
    out.print(f"Dead letters: {told}", highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Letter", "Received", "Reason", "Field", "What is wrong", "Record"):
        table.add_column(name, overflow="fold", no_wrap=name == "Letter")
    for one in letters:
        beginning = plain_bytes(one.raw[: 4 * _BEGINNING])
        record = beginning[:_BEGINNING] + ("…" if len(beginning) > _BEGINNING else "")
        message = plain(one.message) + (f" (replayed {_time(one)})" if one.replayed_ms else "")
        table.add_row(
            *(Text(plain(cell)) for cell in (one.id, _stamp(one.received_ms), one.reason)),
            Text(plain(one.field)),
            Text(message),
            Text(record),
        )
    if table.row_count:
        out.print(table)


def show_letter(out: Console, letter: Letter) -> None:
    """All of one letter, the name of its field marked in the record."""
    rows = {
        "Letter": letter.id,
        "From": letter.topic,
        "Received": _stamp(letter.received_ms),
        "Reason": letter.reason,
        "Field": letter.field or "the whole record",
        "Wrong": letter.message,
        "Size": f"{len(letter.raw) + letter.cut:,} bytes"
        + (f", of which the first {len(letter.raw):,} are kept" if letter.cut else ""),
        "Replayed": f"{_time(letter)} as {letter.sent_as}" if letter.replayed_ms else "no",
    }
    for name, value in rows.items():
        out.print(Text.assemble((f"{name:<10}", "bold"), plain(value)), soft_wrap=True)
    given = _at(letter.raw, letter.field)
    if given is not None:
        out.print(Text.assemble((f"{'Value':<10}", "bold"), (plain(given), "red")), soft_wrap=True)
    record = Text(plain_bytes(letter.raw[:_MOST]))
    if letter.field:
        record.highlight_words([f'"{plain(letter.field.rpartition(".")[2])}"'], "bold red")
    out.print()
    out.print(record, soft_wrap=True)
    if len(letter.raw) > _MOST:
        out.print(f"… {len(letter.raw) - _MOST:,} more bytes are in --json", highlight=False)


def _at(raw: bytes, field: str) -> str | None:
    """The value of a dotted path as JSON; None where it is not there."""
    if not field:
        return None
    try:
        value: Any = msgspec.json.decode(raw)
        for part in field.split("."):
            value = value[int(part) if isinstance(value, list) else part]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError):
        return None
    except (TypeError, ValueError):
        return None
    return msgspec.json.encode(value).decode()


def _time(letter: Letter) -> str:
    return _stamp(letter.replayed_ms)


def _stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
