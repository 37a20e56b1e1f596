"""The documents say what the code does."""

import re
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from privacy.stores import STORES
from schemas.settings import PREFIX, Settings
from schemas.topics import TOPICS
from streams import metrics
from streams.core import account_rules
from streams.core.breakdown import BREAKDOWNS
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


def rules() -> list[dict[str, str]]:
    """Every rule for Prometheus, recorded or an alert."""
    return [
        rule
        for file in sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def test_alerts_tells_of_every_alert_what_to_do_and_every_one_has_a_test() -> None:
    known = {rule["alert"] for rule in rules() if "alert" in rule}
    told = {row[0].split()[0]: row[2] for row in rows("docs/alerts.md", "Alert")}
    assert set(told) == known
    assert all(told.values())
    tests = [file.read_text(encoding="utf-8") for file in (ROOT / "tests/alerts").glob("*.yaml")]
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:", "\n".join(tests)))
    silent = set(re.findall(r"alertname: (\w+)}", "\n".join(tests)))
    assert fired == silent == known


def test_alerts_names_metrics_that_exist_and_how_many_there_are() -> None:
    assert metrics.BREAKDOWN
    collected = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    collected |= {name for metric in REGISTRY._collector_to_names.values() for name in metric}
    text = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(journey_\w+)", text)) <= collected
    recorded = {rule["record"].removeprefix("journey:") for rule in rules() if "record" in rule}
    for name in re.findall(r"`((?:breakdown|insert)_\w+:\w+)`", text):
        assert name in recorded
    most = sum(most + (name != "channel") for name, (_, most) in BREAKDOWNS.items())
    assert f" {most} series " in text


def test_every_metric_of_a_rule_exists() -> None:
    collected = {name for metric in REGISTRY._collector_to_names.values() for name in metric}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        named = set(re.findall(r"\bjourney[_:][\w:]+", rule["expr"]))
        assert named <= collected | recorded, rule
