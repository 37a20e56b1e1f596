"""The documents say what the code does."""

import re
from pathlib import Path

from privacy.stores import STORES
from schemas.settings import PREFIX, Settings
from schemas.topics import TOPICS
from streams.core import account_rules
from streams.core.guard import CHECKS
from streams.core.guards import FAN_OUT, SHARED
from streams.core.identifiers import PRECEDENCE
from streams.core.rules import CHANNELS, CONDITIONS
from streams.core.template import LINK, PLACES, WAYS_OUT

ROOT = Path(__file__).parents[2]


def rows(document: str, header: str) -> list[list[str]]:
    """Cells of the Markdown table whose first column has this header."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {header} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return table


def test_readme_lists_every_setting_with_its_description() -> None:
    documented = {name: meaning for name, _, meaning in rows("README.md", "Setting")}
    assert documented == {
        PREFIX + name.upper(): field.description for name, field in Settings.model_fields.items()
    }


def test_design_lists_every_topic_and_how_long_it_is_kept() -> None:
    documented = {name: cleanup for name, _, _, cleanup in rows("docs/design.md", "Topic")}
    assert documented == {
        t.name: "compacted" if t.compacted else f"{t.retention_days} days" for t in TOPICS
    }


def test_readme_names_only_verbs_that_exist() -> None:
    from cli import main

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    verbs = set(re.findall(r"journey (?:--data \S+ )?([a-z][a-z-]+)", blocks))
    assert verbs
    assert verbs <= set(main.commands)


def test_outreach_tells_every_condition_check_and_placeholder() -> None:
    cells = " ".join(row[0] for row in rows("docs/outreach.md", "Condition"))
    conditions = set(re.findall(r"\w+", cells))
    assert conditions == set(CONDITIONS)
    of_accounts = [row[0] for row in rows("docs/outreach.md", "Account condition")]
    assert of_accounts == list(account_rules.CONDITIONS)
    text = (ROOT / "docs/outreach.md").read_text(encoding="utf-8")
    checks = text[text.index("## What the guard checks") :].split("\n## ")[0]
    places = [checks.index(f"`{name}`") for name in CHECKS]
    assert places == sorted(places)
    (told,) = re.findall(r"^Channels: .*$", text, re.MULTILINE)
    assert set(re.findall(r"`{(\w+)}`", told)) == {*PLACES, LINK}
    named = set(re.findall(r"`(\w+)`", told))
    assert named == {*CHANNELS, *WAYS_OUT, "survey_link"}


def test_identity_tells_the_kinds_in_order_and_how_many_they_may_meet() -> None:
    documented = [(kind, met.split()[0]) for kind, _, met, _ in rows("docs/identity.md", "Kind")]
    assert documented == [(kind, f"{FAN_OUT[kind]:,}") for kind in PRECEDENCE]
    shared = {row[0] for row in rows("docs/identity.md", "Kind") if row[3] == "joins nobody"}
    assert shared == SHARED


def test_privacy_lists_every_store_and_when_its_bytes_are_gone() -> None:
    assert {row[0] for row in rows("docs/privacy.md", "Table")} == {s.table for s in STORES}
    text = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    for topic in TOPICS:
        days = topic.clean_days()
        assert f"| {days} days " in text, f"{topic.name}: {days} days"
