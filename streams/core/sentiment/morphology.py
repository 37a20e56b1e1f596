"""From a word to its entry: Persian verbs and suffixes, English suffixes, stretched letters."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from streams.core.sentiment.lexicon import Entry, Kind, Pack


class Found(NamedTuple):
    """What is known of a word: its entry, its base form, whether the word itself negates."""

    entry: Entry | None
    base: str
    negated: bool = False


_STRETCHED: Final = re.compile(r"(.)\1{2,}")
_DOUBLED: Final = re.compile(r"(.)\1+")

# Persian endings: plural, possessive, copula, comparison, indefinite, colloquial object marker.
_FA_SUFFIXES: Final = tuple(
    sorted(
        "ها های هایی هام هات هاش هامون هاتون هاشون هایم هایتان هایشان ا ات اتی م ت ش مان تان شان"
        " مون تون شون ام اش ی یی ای یم ید ین ند ن ه ست هست هس است اند اید ایم این یه هم تر ترین"
        " ترینه ترینش تره و رو انه وار".split(),
        key=len,
        reverse=True,
    )
)
_FA_ENDINGS: Final = tuple(
    sorted(
        {
            person + clitic
            for person in (
                "",
                *"م ی د ه یم ید ین ند ن".split(),
                *"هام های هاست هست هس هایم هاید هاین هاند هان هبود هبودم هبودن هباشه ست".split(),
            )
            for clitic in ("", "ش", "شون", "مون", "تون", "م", "ت")
        },
        key=len,
        reverse=True,
    )
)
_FA_PREFIXES: Final = (("نمی", True), ("می", False), ("همی", False), ("ن", True), ("ب", False))
_FA_GLUED: Final = ("خیلی", "واقعا", "بسیار", "اصلا", "چقدر", "چه", "یه", "یک", "کاملا", "همه")


def _persian_verb(key: str, verbs: dict[str, str]) -> tuple[str, bool] | None:
    for prefix, negated in (*_FA_PREFIXES, ("", False)):
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        for ending in _FA_ENDINGS:
            if not rest.endswith(ending):
                continue
            stem = rest[: len(rest) - len(ending)]
            infinitive = verbs.get(stem)
            if infinitive is None:
                continue
            past = stem[-1] in "دت"
            # A bare present stem is no verb form, and ب- goes with the present only.
            if (prefix == "" and not past) or (prefix == "ب" and past):
                continue
            return infinitive, negated
    return None


def _persian_bases(key: str, depth: int = 2) -> Iterator[str]:
    for suffix in _FA_SUFFIXES:
        if key.endswith(suffix) and len(key) - len(suffix) >= 3:
            yield key[: -len(suffix)]
    if depth > 1:
        for suffix in _FA_SUFFIXES:
            if key.endswith(suffix) and len(key) - len(suffix) >= 4:
                yield from _persian_bases(key[: -len(suffix)], depth - 1)


def _english_bases(key: str) -> Iterator[str]:
    for suffix in ("s", "es", "ed", "d", "ing", "ly", "er", "r", "est", "st", "ness"):
        base = key[: -len(suffix)]
        if not key.endswith(suffix) or len(base) < 3:
            continue
        yield base
        if suffix in ("ed", "ing", "er", "est") and len(base) > 3 and base[-1] == base[-2]:
            yield base[:-1]
        if suffix == "ing":
            yield base + "e"
        if suffix == "ly":
            yield base + "le"
        if base[-1] == "i" and suffix in ("es", "ed", "er", "est", "ly", "ness"):
            yield base[:-1] + "y"


def _spellings(key: str) -> Iterator[str]:
    yield key
    if _STRETCHED.search(key):
        yield _STRETCHED.sub(r"\1\1", key)
        yield _STRETCHED.sub(r"\1", key)
        yield _DOUBLED.sub(r"\1", key)
    elif len(key) > 3 and key[-1] == key[-2]:
        yield key.rstrip(key[-1]) + key[-1]


def find_persian(key: str, pack: Pack) -> Found:
    """The entry of a Persian word, through its verb form, suffixes or a glued prefix."""
    for spelling in _spellings(key):
        found = _find_persian(spelling, pack)
        if found.entry is not None or found.base != spelling:
            return found
    return Found(None, key)


def _find_persian(key: str, pack: Pack) -> Found:
    entry = pack.words.get(key)
    verb = _persian_verb(key, pack.verbs)
    if entry is not None:
        return Found(entry, verb[0] if verb else _persian_base(key, pack), bool(verb and verb[1]))
    if verb is not None and verb[1]:
        of_verb = pack.words[verb[0]]
        # "I have no ..." states a fact more often than "it has no ..." does.
        value = of_verb.value // 3 if key[-1] == "م" and of_verb.value > -300 else of_verb.value
        return Found(Entry(int(Kind.NEGVERB), value, of_verb.cue, of_verb.weight), *verb)
    base = _persian_base(key, pack)
    if base != key and base in pack.words:
        return Found(pack.words[base], base)
    if verb is not None:
        return Found(None, verb[0])
    if key.startswith("بی") and len(key) > 4:
        rest = _find_persian(key[2:], pack)
        if rest.entry is not None and rest.entry.kind == Kind.STEM and rest.entry.value:
            value = rest.entry.value
            return Found(Entry(int(Kind.STEM), -value if value > 0 else -value * 7 // 10), key)
    for prefix in _FA_GLUED:
        rest_key = key[len(prefix) :]
        if key.startswith(prefix) and len(rest_key) > 2:
            rest = _find_persian(rest_key, pack)
            if rest.entry is not None and rest.entry.kind == Kind.STEM:
                return rest
    return Found(None, base)


def _persian_base(key: str, pack: Pack) -> str:
    for base in _persian_bases(key):
        if base in pack.words or base in pack.vocabulary:
            return base
    return key


def find_english(key: str, pack: Pack) -> Found:
    """The entry of an English word, through its suffixes."""
    for spelling in _spellings(key):
        entry = pack.words.get(spelling)
        bases = [spelling, *_english_bases(spelling)]
        known = [base for base in bases[1:] if base in pack.vocabulary]
        if entry is None:
            entry = next((pack.words[base] for base in bases if base in pack.words), None)
        if entry is not None or known or spelling in pack.vocabulary:
            return Found(entry, known[0] if known else spelling)
    return Found(None, key)


def find_latin_persian(key: str, pack: Pack) -> Found:
    """The entry of a Persian word in Latin letters; nemi- always negates."""
    for spelling in _spellings(key):
        if spelling in pack.words:
            return Found(pack.words[spelling], spelling)
        for suffix in ("e", "am", "em", "esh", "etun", "tun", "ha", "i", "o", "an", "in"):
            base = spelling[: -len(suffix)]
            if spelling.endswith(suffix) and len(base) > 2 and base in pack.words:
                return Found(pack.words[base], base)
        if spelling.startswith(("nemi", "nemy")) and len(spelling) > 5:
            return Found(Entry(int(Kind.NEGVERB), -250), spelling)
    return Found(None, key)
