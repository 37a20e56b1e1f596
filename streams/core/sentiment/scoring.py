"""From what the walk found to one `Sentiment`."""

import re
from itertools import chain
from typing import Final, Literal, NamedTuple

from streams.core.sentiment.distress import noisy_or
from streams.core.sentiment.lexicon import Cue, fingerprint
from streams.core.sentiment.normalise import has_latin, is_persian_script
from streams.core.sentiment.tokens import ENGLISH, FINGLISH, JOINER, LATIN_PERSIAN, MIXED
from streams.core.sentiment.walk import Walked, waits, walk

Label = Literal["neg", "neu", "pos"]
Language = Literal["fa", "en", "fa-latn", "und"]

RULES: Final = 1
VERSION: Final = f"{RULES}-{fingerprint()}"

SOFTNESS: Final = 500  # a sum of this size scores ±500
THRESHOLD: Final = 250  # scores nearer to zero are neutral
WAITED: Final = 250  # polarity of a wait whose length is told
MOST_WORDS: Final = 8
# Mean little in a text that does not complain.
SOFT_CUES: Final = frozenset(map(int, (Cue.REPEAT, Cue.WAIT, Cue.SILENCE, Cue.MONEY, Cue.URGENT)))

_APART: Final = re.compile(r"(?<!\w)(ن?م[یي]) +(?=\w)")
_SHOUTED: Final = re.compile(r"[A-Z]{4,}")


class Sentiment(NamedTuple):
    """What a customer's text says. All figures in milli-units."""

    score: int  # -1000..1000
    label: Label
    confidence: int  # 0..1000
    distress: int  # 0..1000
    language: Language
    words: tuple[str, ...]  # what decided it, as written, at most 8


def score(text: str, language: str | None = None) -> Sentiment:
    """Sentiment and distress of `text`; never raises, whatever the string.

    `language` ("fa", "en", with or without region) is a hint for text whose script does not tell.
    """
    if "\n" in text:
        text = text.replace("\n", " . ")
    if "می " in text or "مي " in text:
        text = _APART.sub(rf"\1{JOINER}", text)
    chunks = text.split()
    spoken = _language(text, chunks, language or "")
    memo = LATIN_PERSIAN if spoken == "fa-latn" else MIXED
    walked = walk(list(chain.from_iterable(map(memo.__getitem__, chunks))))
    if spoken == "und" and (any(map(has_latin, walked[4])) or _is_hinted(text, language or "")):
        spoken = "en"
    return _judge(text, walked, spoken)


def _language(text: str, words: list[str], hint: str) -> Language:
    if is_persian_script(text):
        return "fa"
    if not FINGLISH.isdisjoint(words):
        persian = sum(word in FINGLISH for word in words)
        english = sum(word in ENGLISH for word in words)
        if persian > english or (persian == english and hint.startswith("fa")):
            return "fa-latn"
    return "und" if ENGLISH.isdisjoint(words) else "en"


def _is_hinted(text: str, hint: str) -> bool:
    return hint.startswith("en") and has_latin(text)


def _judge(text: str, walked: Walked, spoken: Language) -> Sentiment:
    total, mass, thanks, repeated, words, cues, durations, asked = walked
    if thanks:
        total += thanks * 150 // 1000 if total < 0 or asked else thanks
        mass += thanks
    if repeated and total < THRESHOLD // 2:
        total += repeated
        mass -= repeated
    waited = durations and waits(cues)
    if waited:
        total -= WAITED
        mass += WAITED
    points = 1000 * total // (abs(total) + SOFTNESS)
    label: Label = "pos" if points >= THRESHOLD else "neg" if points <= -THRESHOLD else "neu"
    distress = 0
    if points < 0 or cues or durations:
        weights = [weight if waited else weight * 350 // 1000 for weight in durations]
        for cue, weight in cues:
            weights.append(weight // 2 if label != "neg" and cue in SOFT_CUES else weight)
        if points < 0:
            weights.append(-points * 350 // 1000)
        if points < 0 or cues:
            weights.append(min(180, 60 * text.count("!")))
            if spoken != "fa":
                weights.append(min(240, 60 * len(_SHOUTED.findall(text))))
        distress = noisy_or(weights)
        if label == "pos":
            distress = distress * 300 // 1000
    return Sentiment(
        points,
        label,
        _confidence(total, mass, asked, spoken),
        distress,
        spoken,
        tuple(words[:MOST_WORDS]),
    )


def _confidence(total: int, mass: int, asked: bool, spoken: Language) -> int:
    if mass:
        # How far the evidence goes, and how far it points one way.
        confidence = min(950, 300 + abs(total) * 600 // (mass + 200))
    else:
        confidence = 0 if spoken == "und" else 700 if asked else 400
    return min(confidence, 350) if spoken == "fa-latn" else confidence
