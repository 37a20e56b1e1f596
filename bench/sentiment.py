"""Texts per second of processor time, one core, at 8 and at 20 words.

python bench/sentiment.py [seconds per figure]
"""

import random
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from streams.core.sentiment import VERSION, score
from streams.core.sentiment.lexicon import parse, read

TEXTS = 5_000
TARGETS = {8: 80_000, 20: 30_000}

# What real texts are made of, beside the lexicon: words that carry no polarity.
FILLER = {
    "fa": "سلام من سفارش را از سایت شما در روز شنبه ثبت کردم و آن برای مادرم بود که با پیک"
    " فرستادید تا خانه ما این کفش یک مانتو به رنگ آبی روی مبل کنار پنجره اتاق میز تلفن همراه",
    "en": "hello i placed my order on your website last saturday and it was for my mother who"
    " lives near the station with a blue coat and two chairs from the living room catalogue",
}


def texts(language: str, words: int, seed: int) -> list[str]:
    """Seeded texts: a third of the words from the lexicon, the others filler, with a full stop."""
    draw = random.Random(seed)
    known = [word for word, _ in parse(read(f"{language}.tsv"), language) if word.isalpha()]
    filler = FILLER[language].split()
    made = []
    for _ in range(TEXTS):
        chosen = [draw.choice(known if draw.random() < 1 / 3 else filler) for _ in range(words)]
        chosen[words // 2] += draw.choice(["،", ".", "!", ""])
        made.append(" ".join(chosen) + draw.choice([".", "؟", "!", ""]))
    return made


def checksum(batch: list[str]) -> int:
    """One number for all the results of a batch."""
    return zlib.crc32(repr([score(text) for text in batch]).encode())


def rate(batch: list[str], seconds: float) -> float:
    """Texts per second over whole passes of the batch, best of three."""
    best = 0.0
    for _ in range(3):
        passes, start = 0, time.process_time()
        while time.process_time() - start < seconds / 3:
            for text in batch:
                score(text)
            passes += 1
        best = max(best, passes * len(batch) / (time.process_time() - start))
    return best


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    print(f"sentiment {VERSION}, one core, {TEXTS} texts")
    for language in ("fa", "en"):
        for words, target in TARGETS.items():
            batch = texts(language, words, seed=words)
            before = checksum(batch)
            measured = rate(batch, seconds)
            assert checksum(batch) == before, "the result of the same texts has changed"
            verdict = "ok" if measured >= target else "BELOW TARGET"
            print(
                f"{language} {words:>2} words {measured:>9,.0f} texts/s"
                f"  (target {target:,}: {verdict})  checksum {before:08x}"
            )


if __name__ == "__main__":
    main()
