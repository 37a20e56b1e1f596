"""Folding, the word lists, and what holds for every string."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.sentiment import VERSION, Sentiment, score
from streams.core.sentiment.lexicon import (
    FILES,
    Kind,
    LexiconError,
    fingerprint,
    parse,
    read,
    variants,
)
from streams.core.sentiment.normalise import (
    ZWNJ,
    fold_digits,
    fold_persian,
    is_persian_script,
    word_key,
)
from streams.core.sentiment.tokens import MEMO_LIMIT, MIXED

PERSIAN_WORDS = [
    *"خیلی عالی بود نبود نیست کیفیت سفارشم نرسیده هنوز دیر ممنون ولی مشکل بدون منتظرم چرا".split(),
    *["نمی‌رسه", "هفته‌ست", "بی‌ادب", "راضی‌ام", "شکایت", "می‌کنم", "۳", "سه", "روزه", "بار", "؟"],
]
LIVELY = st.lists(
    st.sampled_from(
        [*PERSIAN_WORDS, "not", "good", "late", "3", "days", "!", ".", "😡", "\n", "، "]
    ),
    max_size=30,
).map(" ".join)
# Anything at all, lone surrogates and control characters too.
ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)


def unworded(found: Sentiment) -> tuple[object, ...]:
    return found[:5]


def test_fold_digits() -> None:
    assert fold_digits("۰۱۲۳۴۵۶۷۸۹ ٠١٢٣٤٥٦٧٨٩ 0912 کد") == "0123456789 0123456789 0912 کد"


def test_fold_persian_keeps_zwnj_and_folds_letters() -> None:
    assert fold_persian("كتابي‌ ة ى ١") == "کتابی‌ ه ی 1"
    assert fold_persian("ﻓﺎرﺳﻰ") == "فارسی"


def test_word_key() -> None:
    assert word_key("می‌خَواهـم") == "میخواهم"
    assert word_key("Can’t") == word_key("CANT") == "cant"
    assert word_key("we'll") == "we"


@pytest.mark.parametrize(
    ("text", "persian"),
    [("سلام", True), ("hello", False), ("hello سلام my friend", False), ("مدل iPhone را", True)],
)
def test_script(text: str, persian: bool) -> None:
    assert is_persian_script(text) is persian


def test_every_list_has_source_and_licence() -> None:
    for name in FILES:
        header = read(name)[:300]
        assert "written by hand for this project" in header
        assert "Apache-2.0" in header


@pytest.mark.parametrize("name", ["fa.tsv", "en.tsv"])
def test_lists_are_as_large_as_promised(name: str) -> None:
    kinds = [entry.kind for _, entry in parse(read(name), name)]
    assert kinds.count(Kind.STEM) >= 800
    assert kinds.count(Kind.IDIOM) >= 150


def test_values_and_weights_are_in_range() -> None:
    for name in FILES:
        for written, entry in parse(read(name), name):
            assert -1000 <= entry.value <= 2000, written
            assert 0 <= entry.weight < 1000, written


@pytest.mark.parametrize(
    "line", ["word\tstem\t5", "word\tnoun\t5\t-", "word\tstem\tmuch\t-", "word\tstem\t5\tfoo:3"]
)
def test_a_malformed_line_is_named(line: str) -> None:
    with pytest.raises(LexiconError, match=r"^list:2: "):
        parse(f"# header\n{line}\n", "list")


def test_a_repeated_entry_is_refused() -> None:
    with pytest.raises(LexiconError, match="listed twice"):
        parse("a\tstem\t5\t-\na\tstem\t6\t-\n", "list")


def test_variants() -> None:
    assert variants("hung/hang up") == [("hung", "up"), ("hang", "up")]
    assert variants("a ? b") == [("a", "b"), ("a", "*", "b")]


def test_version_names_the_word_lists() -> None:
    assert VERSION.endswith(f"-{fingerprint()}")


@given(ANYTHING)
@settings(max_examples=300)
def test_never_raises_and_stays_in_bounds(text: str) -> None:
    found = score(text)
    assert -1000 <= found.score <= 1000
    assert 0 <= found.confidence <= 1000
    assert 0 <= found.distress <= 1000
    assert found.label == ("pos" if found.score >= 250 else "neg" if found.score <= -250 else "neu")
    assert found.language in {"fa", "en", "fa-latn", "und"}
    assert len(found.words) <= 8
    "".join(found.words).encode()  # no lone surrogate gets through


@given(LIVELY)
def test_bounds_hold_on_texts_full_of_cues(text: str) -> None:
    found = score(text * 20)
    assert -1000 <= found.score <= 1000
    assert 0 <= found.confidence <= 1000
    assert 0 <= found.distress <= 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\ud800",
        "\x00\x01",
        "😡" * 8_192,
        "a" * 8_192,
        "خ" * 8_192,
        "no " * 2_730,
        "\u200c",
    ],
)
def test_extremes(text: str) -> None:
    assert isinstance(score(text), Sentiment)


@given(LIVELY, st.sampled_from(["۰۱۲۳۴۵۶۷۸۹", "٠١٢٣٤٥٦٧٨٩"]))
def test_digit_script_does_not_matter(text: str, digits: str) -> None:
    ascii_text = fold_digits(text)
    other = ascii_text.translate(str.maketrans("0123456789", digits))
    assert unworded(score(other)) == unworded(score(ascii_text))


@given(LIVELY)
def test_zwnj_does_not_matter(text: str) -> None:
    assert unworded(score(text)) == unworded(score(text.replace(ZWNJ, "")))


@given(LIVELY)
def test_arabic_letters_do_not_matter(text: str) -> None:
    arabic = text.translate(str.maketrans("یک", "يك"))
    assert unworded(score(arabic)) == unworded(score(text))


@given(LIVELY)
def test_the_memo_changes_nothing(text: str) -> None:
    MIXED.clear()
    assert score(text) == score(text)


def test_the_memo_is_bounded() -> None:
    for n in range(MEMO_LIMIT + 10):
        MIXED[f"w{n}"]
    assert len(MIXED) <= MEMO_LIMIT


def test_same_result_in_another_process() -> None:
    text = "سه هفته‌ست منتظرم، nobody answers 😡"
    code = (
        "import json,sys; from streams.core.sentiment import score;"
        "print(json.dumps(score(sys.argv[1])))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, text], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == json.loads(json.dumps(score(text)))
