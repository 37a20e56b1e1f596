"""From text to tokens. A memo per word list: raw chunk between blanks -> its tokens."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from streams.core.sentiment.lexicon import (
    Entry,
    Kind,
    Node,
    Pack,
    compile_pack,
    idiom_key,
    parse,
    read,
)
from streams.core.sentiment.morphology import (
    Found,
    find_english,
    find_latin_persian,
    find_persian,
)
from streams.core.sentiment.normalise import fold_digits, is_persian_script, word_key

# Stands for the blank in "می شود", which is one word.
JOINER: Final = "\u2060"
IDLE: Final = frozenset({Kind.NEUTRAL, Kind.COMMON})
MEMO_LIMIT: Final = 50_000
_LONGEST_KEPT: Final = 24
_LONGEST_WORD: Final = 40


@dataclass(slots=True)
class Token:
    """A word that means something to the walk; all others are None."""

    kind: int
    value: int
    cue: int
    weight: int
    key: str
    base: str
    negated: bool
    starts: tuple[tuple[Node, bool], ...]
    surface: str


_EMOJI: Final = dict(parse(read("emoji.tsv"), "emoji.tsv"))
_EMOTICON: Final = "|".join(
    re.escape(sign) + r"(?!\w)" if sign.isascii() else re.escape(sign)
    for sign in sorted(_EMOJI, key=len, reverse=True)
)
_MARKS: Final = "\u0300-\u036f\u064b-\u065f\u0670\u00ad\u200b-\u200f\u2060"
_PIECE: Final = re.compile(
    rf"(?P<emoji>{_EMOTICON})"
    r"|(?P<number>\d+(?:[./:]\d+)*(?![^\W\d_])|\d+(?=[^\W\d_]))"
    rf"|(?P<word>[^\W\d_](?:[^\W_{_MARKS}]|[{_MARKS}]|['’‘`´ʼ](?=[^\W\d_]))*)"
    r"|(?P<question>[?？؟]+)"
    r"|(?P<stop>[.,;:،؛…()\[\]\"«»|–—!！。/]+)"
)
_ORDINAL: Final = re.compile(r"\d+(?:st|nd|rd|th)\b", re.IGNORECASE)
_SKIPPED: Final = re.compile(r"https?:|www\.|@\w|\S+@\S+\.\w", re.IGNORECASE)

BREAK: Final = Token(int(Kind.BREAK), 0, 0, 0, "", "", False, (), "")
_QUESTION: Final = Token(int(Kind.QUESTION), 0, 0, 0, "?", "?", False, (), "?")

Find = Callable[[str, Pack], Found]
Language = tuple[Pack, Find]
Tokens = tuple[Token | None, ...]


def _word(written: str, pack: Pack, find: Find) -> Token | None:
    key = word_key(written[:_LONGEST_WORD])
    if not key:
        return None
    entry, base, negated = find(key, pack)
    key, base = idiom_key(key), idiom_key(base)
    if entry is not None and entry.kind == Kind.NUMBER:
        base = "#"
    if base not in pack.vocabulary:
        base = key
    first = pack.idioms.next
    starts = tuple(
        (first[word], negated and word != key)
        for word in dict.fromkeys((key, base))
        if word in first
    )
    idle = entry is None or (entry.kind in IDLE and not entry.cue)
    if idle and not starts and not {key, base} & pack.vocabulary:
        return None
    entry = entry or Entry(int(Kind.NEUTRAL))
    return Token(
        int(Kind.NEUTRAL) if idle else entry.kind,
        entry.value,
        entry.cue,
        entry.weight,
        key,
        base,
        negated,
        starts,
        written.replace(JOINER, " "),
    )


def _number(written: str, packs: Iterable[Pack]) -> Token:
    digits = fold_digits(written)
    # A date, a decimal or an identifier counts nothing.
    counts = digits.isdecimal() and len(digits) < 5 and int(digits) > 0
    kind, value = (int(Kind.NUMBER), int(digits)) if counts else (int(Kind.NEUTRAL), 0)
    starts: list[tuple[Node, bool]] = []
    for pack in packs:
        entry = pack.words.get(digits)
        if entry is not None:
            kind, value = entry.kind, entry.value
        nodes = map(pack.idioms.next.get, (digits, "#"))
        starts += [(node, False) for node in nodes if node is not None]
    return Token(kind, value, 0, 0, digits, "#", False, tuple(starts), written)


class Memo(dict[str, Tokens]):
    """Chunk -> tokens, worked out at the first request; starts anew when it is full."""

    def __init__(self, *languages: Language) -> None:
        super().__init__()
        self._languages = languages

    def __missing__(self, chunk: str) -> Tokens:
        tokens = tuple(self._analyse(chunk))
        if len(chunk) <= _LONGEST_KEPT:
            if len(self) >= MEMO_LIMIT:
                self.clear()
            self[chunk] = tokens
        return tokens

    def _analyse(self, chunk: str) -> Iterable[Token | None]:
        if _SKIPPED.match(chunk):
            yield None
            return
        seen: dict[str, int] = {}
        position = 0
        while match := _ORDINAL.match(chunk, position) or _PIECE.search(chunk, position):
            position = match.end()
            written = match.group()
            group = match.lastgroup
            if group == "stop":
                yield BREAK
            elif group == "question":
                yield _QUESTION
            elif group == "emoji":
                seen[written] = seen.get(written, 0) + 1
                if seen[written] <= 2:
                    entry = _EMOJI[written]
                    yield Token(
                        int(Kind.EMOJI),
                        entry.value,
                        entry.cue,
                        entry.weight,
                        "",
                        "",
                        False,
                        (),
                        written,
                    )
            elif group == "number":
                yield _number(written, [pack for pack, _ in self._languages])
            else:
                yield _word(
                    written,
                    *self._languages[0 if is_persian_script(written) else -1],
                )


_FA: Final = compile_pack(parse(read("fa.tsv"), "fa.tsv"))
_EN: Final = compile_pack(parse(read("en.tsv"), "en.tsv"))
_LATN: Final = compile_pack(parse(read("fa_latn.tsv"), "fa_latn.tsv"))

# Persian script first, Latin last.
MIXED: Final = Memo((_FA, find_persian), (_EN, find_english))
LATIN_PERSIAN: Final = Memo((_LATN, find_latin_persian))


def _as_written(words: Iterable[str]) -> frozenset[str]:
    """Words in lower case, capitalised and in capitals, to spare folding every text."""
    return frozenset(form for word in words for form in (word, word.capitalize(), word.upper()))


# Everyday English words, and words that give Latin-script Persian away.
_ENGLISH: Final = frozenset(filter(str.isalpha, _EN.vocabulary.union(_EN.words)))
ENGLISH: Final = _as_written(_ENGLISH)
FINGLISH: Final = _as_written(_LATN.vocabulary.union(_LATN.words) - _ENGLISH)
