"""Measures of agreement between labelled and predicted sentiment; pure functions."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

LABELS: Final = ("neg", "neu", "pos")

Pair = tuple[str, str]  # (true label, predicted label)
Confusion = dict[str, dict[str, int]]  # true label -> predicted label -> count


class UndefinedMeasureError(ValueError):
    """The sample is too small or too one-sided for the measure to have a value."""


def confusion_matrix(pairs: Sequence[Pair]) -> Confusion:
    """Count pairs by true label (outer key), then predicted label (inner key)."""
    counts = Counter(pairs)
    return {true: {said: counts[true, said] for said in LABELS} for true in LABELS}


def macro_f1(pairs: Sequence[Pair]) -> float:
    """Return the unweighted mean over labels of F1 = 2·TP / (2·TP + FP + FN), 0..1.

    A label that is neither true nor predicted anywhere is left out of the mean.

    Raises:
        UndefinedMeasureError: there are no pairs.
    """
    if not pairs:
        raise UndefinedMeasureError("macro-F1 needs at least one judged text")
    hits = Counter(true for true, said in pairs if true == said)
    # 2·TP + FP + FN is how often the label is true plus how often it is predicted.
    mentions = Counter(true for true, _ in pairs) + Counter(said for _, said in pairs)
    scores = [2 * hits[label] / mentions[label] for label in LABELS if mentions[label]]
    return sum(scores) / len(scores)


def flip_share(pairs: Sequence[Pair]) -> float:
    """Return the share of texts labelled neg or pos that were judged the opposite, 0..1.

    Raises:
        UndefinedMeasureError: no text is labelled neg or pos.
    """
    polar = [pair for pair in pairs if pair[0] != "neu"]
    if not polar:
        raise UndefinedMeasureError("the flip share needs a text labelled neg or pos")
    return sum(set(pair) == {"neg", "pos"} for pair in polar) / len(polar)


def bootstrap_interval(
    pairs: Sequence[Pair],
    measure: Callable[[Sequence[Pair]], float],
    *,
    resamples: int = 2000,
    seed: int = 20261122,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a measure (Efron 1979), as (low, high).

    Raises:
        UndefinedMeasureError: there are no pairs.
    """
    if not pairs:
        raise UndefinedMeasureError("a bootstrap needs at least one judged text")
    rng = random.Random(seed)
    values = sorted(measure(rng.choices(pairs, k=len(pairs))) for _ in range(resamples))
    tail = (1 - confidence) / 2
    return nearest_rank(values, tail), nearest_rank(values, 1 - tail)


def nearest_rank(ascending: Sequence[float], fraction: float) -> float:
    """Return the value at a fraction (0..1) of an ascending sequence, without interpolation."""
    return ascending[round(fraction * (len(ascending) - 1))]


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """Return the chance that a positive outranks a negative, ties counting half, 0..1.

    This is Mann and Whitney's U (1947) divided by the number of pairs.

    Raises:
        UndefinedMeasureError: one of the two groups is empty.
    """
    if not positives or not negatives:
        raise UndefinedMeasureError("AUC needs texts with distress 1 and texts with distress 0")
    wins = sum((high > low) + 0.5 * (high == low) for high in positives for low in negatives)
    return wins / (len(positives) * len(negatives))
