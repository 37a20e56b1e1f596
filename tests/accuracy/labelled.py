"""The labelled texts: four tab-separated columns under `#` comment lines and a header."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.accuracy.measures import LABELS

HEADER: Final = "id\tlabel\tdistress\ttext"


class MalformedSetError(ValueError):
    """A line of a labelled set cannot be read; the message names file, line and fix."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text with what a person made of it."""

    id: str
    label: str  # one of LABELS
    distress: bool  # would a support manager want to call this customer today?
    text: str


def parse_line(line: str, where: str) -> LabelledText:
    """Read one row; `where` names it in errors.

    Raises:
        MalformedSetError: a column is missing or holds a value outside its closed set.
    """
    columns = line.split("\t")
    if len(columns) != 4:
        raise MalformedSetError(f"{where}: {len(columns)} columns; write {HEADER!r}")
    case_id, label, distress, text = columns
    if not case_id or not text.strip():
        raise MalformedSetError(f"{where}: id and text must not be empty; fill in both")
    if label not in LABELS:
        raise MalformedSetError(f"{where}: label {label!r}; use one of {', '.join(LABELS)}")
    if distress not in {"0", "1"}:
        raise MalformedSetError(f"{where}: distress {distress!r}; use 0 or 1")
    return LabelledText(case_id, label, distress == "1", text)


def read_set(path: Path) -> list[LabelledText]:
    """Read a labelled set in file order.

    Raises:
        MalformedSetError: the header or a row is wrong, an id repeats, or there are no rows.
        OSError: the file cannot be read.
    """
    numbered = [
        (number, line)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if line.strip() and not line.startswith("#")
    ]
    if not numbered or numbered[0][1] != HEADER:
        raise MalformedSetError(f"{path}: no header; the first line after # must be {HEADER!r}")
    cases = [parse_line(line, f"{path}:{number}") for number, line in numbered[1:]]
    if not cases:
        raise MalformedSetError(f"{path}: no texts under the header; add at least one row")
    if len({case.id for case in cases}) != len(cases):
        raise MalformedSetError(f"{path}: an id occurs twice; make every id unique")
    return cases
