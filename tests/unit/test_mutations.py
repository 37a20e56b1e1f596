"""The mutations fit the code and stand in the documentation; `make mutations` runs them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.mutations import MUTATIONS, ROOT


def test_every_mutation_changes_code_that_is_there() -> None:
    for mutation in MUTATIONS:
        assert (ROOT / mutation.file).read_text().count(mutation.old) == 1, mutation.name
        assert mutation.old != mutation.new
        assert Path(ROOT / mutation.test.partition("::")[0]).is_file()


def test_the_documentation_lists_them() -> None:
    rows = re.findall(
        r"^\| (.+?) \| `(.+?)` \| `(.+?)` \|$", (ROOT / "docs/delivery.md").read_text(), re.M
    )
    assert rows == [
        (mutation.name, mutation.file, mutation.test.removeprefix("tests/"))
        for mutation in MUTATIONS
    ]
