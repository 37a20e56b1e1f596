"""What strangers write is shown, reads back, and does nothing to a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.plain import plain, plain_bytes, plain_json

ACTING = [
    "\x1b[2J\x1b[31m", "\x07\x08\r\n\t", "\x7f", "\x9b31m", "\u202e\u202d\u2066\u2069",
    "\u200e\u200f", "\u061c", "\u200b\ufeff\u2060", "\u2028\u2029", "\U000e0041", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_on_a_terminal_is_an_escape(text: str) -> None:
    shown = plain(f"a{text}b")
    assert shown.isprintable()
    assert not {c for c in text if not c.isprintable()} & set(shown)


def test_persian_and_its_joiners_stay() -> None:
    text = "بار سومه زنگ می‌زنم، چرا؟ 👩‍🚒 é"
    assert plain(text) == text
    assert plain_bytes(text.encode()) == text


def test_bytes_that_are_no_text_are_escapes() -> None:
    assert plain_bytes(b"\xff{\x00\xc3") == r"\xff{\x00\xc3"


@given(st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_json_reads_back_and_does_not_act(value: object) -> None:
    shown = plain_json(value)
    assert json.loads(shown) == value
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs")]
    assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(shown)
