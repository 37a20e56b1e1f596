"""The accuracy measures against values computed by hand, and the shape of the labelled sets."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.accuracy.labelled import HEADER, MalformedSetError, read_set
from tests.accuracy.measures import (
    Pair,
    UndefinedMeasureError,
    auc,
    bootstrap_interval,
    confusion_matrix,
    flip_share,
    macro_f1,
    nearest_rank,
)

SETS = Path(__file__).parents[1] / "accuracy"

# neg: TP 2, FP 1, FN 2;  neu: TP 1, FP 2, FN 1;  pos: TP 1, FP 1, FN 1
PAIRS: list[Pair] = [
    ("neg", "neg"),
    ("neg", "neg"),
    ("neg", "neu"),
    ("neg", "pos"),
    ("neu", "neu"),
    ("neu", "neg"),
    ("pos", "pos"),
    ("pos", "neu"),
]


def test_confusion_matrix_counts_by_true_then_predicted_label() -> None:
    assert confusion_matrix(PAIRS) == {
        "neg": {"neg": 2, "neu": 1, "pos": 1},
        "neu": {"neg": 1, "neu": 1, "pos": 0},
        "pos": {"neg": 0, "neu": 1, "pos": 1},
    }


def test_macro_f1_is_the_mean_of_the_three_f1() -> None:
    assert macro_f1(PAIRS) == pytest.approx((4 / 7 + 2 / 5 + 2 / 4) / 3)


def test_macro_f1_of_a_scorer_that_always_says_neg() -> None:
    # neg: 2·1 / (2·1 + 1 + 0) = 2/3;  pos: 0;  neu occurs nowhere
    assert macro_f1([("neg", "neg"), ("pos", "neg")]) == pytest.approx((2 / 3 + 0) / 2)


def test_flip_share_counts_opposites_among_polar_texts() -> None:
    assert flip_share(PAIRS) == pytest.approx(1 / 6)
    assert flip_share([("pos", "neg"), ("neg", "pos"), ("neu", "neg")]) == 1.0


def test_auc_counts_ties_half() -> None:
    # 900 beats 100 and 500; 500 beats 100 and ties with 500: 3.5 of 4
    assert auc([900, 500], [100, 500]) == pytest.approx(3.5 / 4)
    assert auc([0], [0, 0, 0]) == 0.5
    assert auc([1], [2]) == 0.0


def test_nearest_rank_takes_a_value_of_the_sequence() -> None:
    tenths = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert nearest_rank(tenths, 0.0) == 0.0
    assert nearest_rank(tenths, 0.31) == 0.3
    assert nearest_rank(tenths, 1.0) == 1.0


def test_bootstrap_interval_is_seeded_and_near_the_binomial_one() -> None:
    def accuracy(pairs: Sequence[Pair]) -> float:
        return sum(true == said for true, said in pairs) / len(pairs)

    pairs: list[Pair] = [("neg", "neg")] * 50 + [("neg", "pos")] * 50
    low, high = bootstrap_interval(pairs, accuracy)
    # standard error √(0.5·0.5/100) = 0.05, so the interval is 0.5 ± 1.96·0.05
    assert low == pytest.approx(0.402, abs=0.015)
    assert high == pytest.approx(0.598, abs=0.015)
    assert bootstrap_interval(pairs, accuracy) == (low, high)
    assert bootstrap_interval([("pos", "pos")] * 9, accuracy) == (1.0, 1.0)


def test_measures_refuse_samples_they_are_undefined_on() -> None:
    with pytest.raises(UndefinedMeasureError, match="macro-F1"):
        macro_f1([])
    with pytest.raises(UndefinedMeasureError, match="flip share"):
        flip_share([("neu", "neg")])
    with pytest.raises(UndefinedMeasureError, match="bootstrap"):
        bootstrap_interval([], macro_f1)
    with pytest.raises(UndefinedMeasureError, match="distress"):
        auc([1], [])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("a\tneg\t0\tslow\n", "no header"),
        (HEADER + "\n", "no texts"),
        (HEADER + "\na\tneg\tslow\n", r"set\.tsv:3: 3 columns"),
        (HEADER + "\na\tbad\t0\tslow\n", r"set\.tsv:3: label 'bad'"),
        (HEADER + "\na\tneg\tyes\tslow\n", r"set\.tsv:3: distress 'yes'"),
        (HEADER + "\na\tneg\t0\t \n", r"set\.tsv:3: id and text"),
        (HEADER + "\na\tneg\t0\tslow\na\tpos\t0\tfast\n", "id occurs twice"),
    ],
)
def test_a_malformed_set_is_refused_by_name(tmp_path: Path, body: str, named: str) -> None:
    path = tmp_path / "set.tsv"
    path.write_text("# who, when\n" + body, encoding="utf-8")
    with pytest.raises(MalformedSetError, match=named):
        read_set(path)


@pytest.mark.parametrize("language", ["fa", "en"])
def test_the_held_out_sets_keep_their_balance(language: str) -> None:
    cases = read_set(SETS / f"{language}.tsv")
    # Plain numbers only: a failing assert over `cases` would print held-out texts.
    labels = Counter(case.label for case in cases)
    distressed = Counter(case.label for case in cases if case.distress)
    distinct = len({case.text for case in cases})
    lengths = [len(case.text.split()) for case in cases]
    assert labels == {"neg": 48, "neu": 36, "pos": 36}
    assert distressed == {"neg": 30}
    assert distinct == 120
    assert min(lengths) >= 4
    assert max(lengths) <= 31
