"""Reads the reviewed word lists and compiles them to dictionaries.

One entry a line, tab-separated: entry, kind, value in milli-units, cue as `name:weight` or `-`.
In an idiom `/` separates alternatives for one word, `*` is any one word, `?` none or one word,
`~` none to two, `#` a number. A Persian verb is written `infinitive|past stem|present stem|...`.
"""

import hashlib
import re
from dataclasses import dataclass, field
from enum import IntEnum
from importlib.resources import files
from itertools import product
from typing import Final

from streams.core.sentiment.normalise import word_key

FILES: Final = ("fa.tsv", "en.tsv", "fa_latn.tsv", "emoji.tsv")


class LexiconError(ValueError):
    """A line of a word list does not follow the format; the message names file and line."""


class Kind(IntEnum):
    """What an entry does in the walk; `value` means something else for each."""

    NEUTRAL = 0  # nothing, and keeps the suffix rules away
    STEM = 1  # polarity
    IDIOM = 2  # polarity of several words
    EMOJI = 3  # polarity that no negation touches
    THANKS = 4  # polarity that a question or complaint outweighs
    RESOLVE = 5  # polarity, and takes the sting out of a complaint next to it
    VERB = 6  # polarity if negated, else nothing
    NEGVERB = 7  # negates backwards (Persian); polarity if nothing is there to negate
    NEGATION = 8  # negates forwards; polarity if nothing is there to negate
    INTENSIFIER = 9  # factor for the next polarity
    CONTRAST = 10  # factor for all that came before
    CONCEDE = 11  # factor for the clause it opens
    ASK = 12  # makes its clause a question
    LEAD = 13  # makes its clause a question when it opens it
    WHY = 14  # a question that is a complaint; polarity
    WISH = 15  # factor for praise that follows in the clause (requests, conditions, "should")
    NUMBER = 16  # the number
    UNIT = 17  # a unit of time: index into distress.DURATIONS
    REQUEST = 18  # damps praise in the whole of its clause
    COMMON = 19  # a word that tells the language, nothing else
    BREAK = 20  # end of clause (punctuation only)
    QUESTION = 21  # question mark (punctuation only)


class Cue(IntEnum):
    """Why a customer may be in distress."""

    NONE = 0
    THREAT = 1
    REPEAT = 2
    WAIT = 3
    SILENCE = 4
    ABUSE = 5
    SAFETY = 6
    MONEY = 7
    URGENT = 8
    DESPAIR = 9
    ANGRY = 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a word list, without the words; kind and cue are those enumerations' integers."""

    kind: int
    value: int = 0
    cue: int = 0
    weight: int = 0


@dataclass(slots=True)
class Node:
    """A step in the tree of idioms: the next words, and the idiom that ends here."""

    next: dict[str, "Node"] = field(default_factory=dict)
    entry: Entry | None = None


@dataclass(slots=True)
class Pack:
    """One language: words, the tree of idioms and all the words in it, and verb stems."""

    words: dict[str, Entry] = field(default_factory=dict)
    idioms: Node = field(default_factory=Node)
    vocabulary: set[str] = field(default_factory=set)
    verbs: dict[str, str] = field(default_factory=dict)  # stem -> infinitive


_LINE: Final = re.compile(r"([^\t]+)\t([a-z]+)\t(-?\d+)\t(?:-|([a-z]+):(\d+))")
_KINDS: Final = {kind.name.lower(): int(kind) for kind in Kind if kind < Kind.BREAK}
_CUES: Final = {cue.name.lower(): int(cue) for cue in Cue}
_GAPS: Final = {"?": ("", "*"), "~": ("", "*", "* *")}


def read(name: str) -> str:
    """The text of one word list that is shipped with the package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def fingerprint() -> str:
    """Eight hexadecimal digits that change when any word list changes."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(read(name).encode())
    return digest.hexdigest()[:8]


def parse(text: str, name: str) -> list[tuple[str, Entry]]:
    """All entries of one word list, as written.

    Raises `LexiconError` for a line that is not four fields, an unknown kind or cue, or an entry
    that occurs twice.
    """
    entries: list[tuple[str, Entry]] = []
    seen: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise LexiconError(f"{name}:{number}: want entry, kind, value, cue:weight (tabs)")
        words, kind, value, cue, weight = match.groups()
        if kind not in _KINDS or (cue or "none") not in _CUES:
            raise LexiconError(f"{name}:{number}: unknown kind or cue in {line!r}")
        if words in seen:
            raise LexiconError(f"{name}:{number}: {words!r} is listed twice")
        seen.add(words)
        entries.append(
            (words, Entry(_KINDS[kind], int(value), _CUES[cue or "none"], int(weight or 0)))
        )
    return entries


def variants(idiom: str) -> list[tuple[str, ...]]:
    """Every sequence of words that an idiom as written stands for."""
    slots = [_GAPS.get(slot) or tuple(slot.split("/")) for slot in idiom.split(" ")]
    return [tuple(" ".join(choice).split()) for choice in product(*slots)]


def compile_pack(entries: list[tuple[str, Entry]], pack: Pack | None = None) -> Pack:
    """Entries as dictionaries; several lists may go into one pack."""
    pack = pack or Pack()
    for written, entry in entries:
        if "|" in written:
            infinitive, *stems = written.split("|")
            pack.words[infinitive] = entry
            pack.verbs.update(dict.fromkeys(map(word_key, stems), infinitive))
        elif " " in written:
            for words in variants(written):
                _add_idiom(pack, words, entry)
        else:
            pack.words[word_key(written)] = entry
    # Many write ا for آ; a word of its own keeps its own entry.
    for word in [word for word in pack.words if "آ" in word]:
        pack.words.setdefault(word.replace("آ", "ا"), pack.words[word])
    return pack


def idiom_key(word: str) -> str:
    """The form of a word inside idioms: its key, with ا for آ."""
    return word_key(word).replace("آ", "ا")


def _add_idiom(pack: Pack, words: tuple[str, ...], entry: Entry) -> None:
    words = tuple(map(idiom_key, words))
    node = pack.idioms
    for word in words:
        node = node.next.setdefault(word, Node())
    # The first line that says so wins, so a specific idiom goes before a general one.
    node.entry = node.entry or entry
    pack.vocabulary.update(words)
