"""Score the held-out texts: `python -m tests.accuracy.evaluate [--file PATH]... [--json]`.

Misjudged texts are printed with `--show-errors` only: whoever tunes the lexicon must not
see them, or the set is no longer held out.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from streams.core.sentiment import score
from tests.accuracy.labelled import LabelledText, MalformedSetError, read_set
from tests.accuracy.measures import (
    LABELS,
    Confusion,
    UndefinedMeasureError,
    auc,
    bootstrap_interval,
    confusion_matrix,
    flip_share,
    macro_f1,
)

HERE: Final = Path(__file__).parent
DEFAULT_FILES: Final = (HERE / "fa.tsv", HERE / "en.tsv")


class Judgement(Protocol):
    """What a scorer says of one text."""

    @property
    def score(self) -> int: ...  # -1000..1000
    @property
    def label(self) -> str: ...  # one of LABELS
    @property
    def distress(self) -> int: ...  # milli-units, 0..1000


class UnknownLabelError(ValueError):
    """The scorer answered with a label that the labelled sets do not know."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled text beside what the scorer made of it."""

    case: LabelledText
    label: str
    score: int
    distress: int

    @property
    def misjudged(self) -> bool:
        return self.label != self.case.label


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The measures of one file; shares and F1 in 0..1."""

    file: str
    texts: int
    confusion: Confusion
    macro_f1: float
    macro_f1_low: float  # 95 % bootstrap interval
    macro_f1_high: float
    flip_share: float
    distress_auc: float


def judge(cases: Sequence[LabelledText], scorer: Callable[[str], Judgement]) -> list[Judged]:
    """Score every text, in order.

    Raises:
        UnknownLabelError: the scorer's label is not one of LABELS.
    """
    judged = []
    for case in cases:
        said = scorer(case.text)
        if said.label not in LABELS:
            raise UnknownLabelError(
                f"{case.id}: scorer's label {said.label!r}; it must be one of {', '.join(LABELS)}"
            )
        judged.append(Judged(case, str(said.label), said.score, said.distress))
    return judged


def measure(file: str, judged: Sequence[Judged]) -> Accuracy:
    """Compute all measures of one file.

    Raises:
        UndefinedMeasureError: the file holds too few kinds of text for one of them.
    """
    pairs = [(each.case.label, each.label) for each in judged]
    low, high = bootstrap_interval(pairs, macro_f1)
    return Accuracy(
        file=file,
        texts=len(judged),
        confusion=confusion_matrix(pairs),
        macro_f1=macro_f1(pairs),
        macro_f1_low=low,
        macro_f1_high=high,
        flip_share=flip_share(pairs),
        distress_auc=auc(
            [each.distress for each in judged if each.case.distress],
            [each.distress for each in judged if not each.case.distress],
        ),
    )


def as_text(accuracy: Accuracy) -> str:
    """Lay one file's measures out for a terminal."""
    return "\n".join(
        [
            f"{accuracy.file}: {accuracy.texts} texts",
            "  true \\ said" + "".join(f"{label:>6}" for label in LABELS),
            *(
                f"  {true:<11}" + "".join(f"{accuracy.confusion[true][said]:>6}" for said in LABELS)
                for true in LABELS
            ),
            f"  macro-F1     {accuracy.macro_f1:.3f}"
            f"  (95 % {accuracy.macro_f1_low:.3f} to {accuracy.macro_f1_high:.3f})",
            f"  neg/pos flips {accuracy.flip_share:.1%} of the texts labelled neg or pos",
            f"  distress AUC {accuracy.distress_auc:.3f}",
        ]
    )


def error_row(each: Judged) -> dict[str, object]:
    """Describe one misjudged text."""
    return {
        "id": each.case.id,
        "label": each.case.label,
        "said": each.label,
        "score": each.score,
        "text": each.case.text,
    }


def report(files: Sequence[Path], *, as_json: bool, show_errors: bool) -> str:
    """Evaluate the files and return what to print."""
    judged = {str(path): judge(read_set(path), score) for path in files}
    accuracies = [measure(file, each) for file, each in judged.items()]
    errors = {
        file: [error_row(one) for one in each if one.misjudged] if show_errors else []
        for file, each in judged.items()
    }
    if as_json:
        rows = [
            asdict(accuracy) | ({"errors": errors[accuracy.file]} if show_errors else {})
            for accuracy in accuracies
        ]
        return json.dumps(rows, ensure_ascii=False, indent=2)
    blocks = []
    for accuracy in accuracies:
        blocks.append(as_text(accuracy))
        blocks.extend(
            "  " + "\t".join(str(value) for value in row.values()) for row in errors[accuracy.file]
        )
    return "\n".join(blocks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every file could be measured, 2 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.accuracy.evaluate")
    parser.add_argument("--file", action="append", type=Path, help="a labelled set; repeatable")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.add_argument(
        "--show-errors",
        action="store_true",
        help="print the misjudged texts too; never for whoever tunes the lexicon",
    )
    options = parser.parse_args(arguments)
    try:
        text = report(
            options.file or DEFAULT_FILES, as_json=options.json, show_errors=options.show_errors
        )
    except (MalformedSetError, UndefinedMeasureError, UnknownLabelError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 2
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
