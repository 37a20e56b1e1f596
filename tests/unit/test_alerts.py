"""Alertmanager's webhook, and what rules on alerts ask the guard."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.webhook import WebhookError, firing
from schemas.outcome import OutreachRequest
from schemas.state import Part
from streams.core.alerts import Alert, ask_for, rules_for
from streams.core.evidence import DAY_MS
from streams.core.guard import Guard
from streams.core.journey import apply
from streams.core.policy import Policy
from streams.core.quiet import Quiet
from streams.core.rules import Facts, Limits, OnAlert, Range, Rule, RuleSet, ask
from streams.core.stitch import assess, row
from streams.core.template import LANGUAGES, Template
from streams.rules import DEFAULT, RulesError, load_rules
from tests.sink_records import step

NOON = 1_795_348_800_000  # 2026-11-22T12:00:00Z
LABELS = {
    "alertname": "JourneyDistressRising",
    "severity": "ticket",
    "breakdown": "product_region",
    "product": "P-1",
    "region": "north",
}
ALERT = Alert("JourneyDistressRising", "fe4c9cd9a8a6b8a1", NOON - 60_000, LABELS)
RULE = Rule(
    "trouble",
    {},
    "call_task",
    ("call_back",),
    dict.fromkeys(LANGUAGES, Template("{product}", "{region}: {ways_out}")),
    on_alert=OnAlert("JourneyDistressRising", frozenset({"product_region"}), 600_000),
)
# As Alertmanager 0.25 sends it.
WEBHOOK: dict[str, Any] = {
    "receiver": "outreach",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": LABELS,
            "annotations": {"summary": "45% of touchpoints tell of trouble"},
            "startsAt": "2026-11-22T11:59:00.123456789Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
            "fingerprint": "fe4c9cd9a8a6b8a1",
        }
    ],
    "groupLabels": LABELS,
    "commonLabels": LABELS,
    "commonAnnotations": {},
    "externalURL": "http://alertmanager:9093",
    "version": "4",
    "groupKey": '{}:{alertname="JourneyDistressRising"}',
    "truncatedAlerts": 0,
}


def sent(**changes: Any) -> bytes:
    """A webhook whose one alert is changed; a change to None leaves the field out."""
    one = {k: v for k, v in (WEBHOOK["alerts"][0] | changes).items() if v is not None}
    return json.dumps(WEBHOOK | {"alerts": [one]}).encode()


def facts(now_ms: int = NOON, customer: str = "customer:a", zone: str = "") -> Facts:
    told = json.dumps({"time_zone": zone}) if zone else "{}"
    one = step(customer, now_ms - 1_000, channel="order", type="returned", properties=told)
    policy, part = Policy(), Part()
    apply(part, one)
    health, worth = assess(part, now_ms, policy)
    return Facts(part, health, row(customer, part, 1, health, worth, {}, now_ms, policy), policy)


def asked(
    alert: Alert = ALERT, now_ms: int = NOON, limits: Limits | None = None, zone: str = ""
) -> OutreachRequest:
    found = ask_for(alert, RULE, facts(now_ms, zone=zone), ["cookie:k"], limits or Limits())
    assert found is not None
    return found


def test_a_webhook_is_read() -> None:
    (found,) = firing(sent())
    assert found == ALERT._replace(began_ms=NOON - 60_000 + 123)
    assert firing(sent(status="resolved")) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "body: Invalid JSON"),
        (b"[]", "body: Input should be an object"),
        (b"\xff", "body: "),
        (b"{}", "version: is missing"),
        (json.dumps(WEBHOOK | {"version": "3"}).encode(), "version: Input should be '4'"),
        (json.dumps(WEBHOOK | {"alerts": {}}).encode(), "alerts: Input should be a valid"),
        (sent(status="on"), "alerts[0].status: Input should be 'firing' or 'resolved'"),
        (sent(startsAt=None), "alerts[0].startsAt: is missing"),
        (sent(startsAt="noon"), "alerts[0].startsAt: Input should be a valid datetime"),
        (sent(startsAt="2026-11-22T11:59:00"), "alerts[0].startsAt: Input should have timezone"),
        (sent(fingerprint=None), "alerts[0].fingerprint: is missing"),
        (sent(fingerprint="'; DROP"), "alerts[0].fingerprint: String should match"),
        (sent(labels={"alertname": 7}), "alerts[0].labels.alertname: Input should be a valid st"),
        (sent(labels={"product": "P-1"}), "alerts[0].labels.alertname: is missing"),
    ],
)
def test_what_is_no_webhook_is_refused_with_its_field(body: bytes, fault: str) -> None:
    with pytest.raises(WebhookError) as refused:
        firing(body)
    assert str(refused.value).startswith(fault)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"region": ""}, False),
        ({"campaign": "nowruz"}, False),
        ({"alertname": "Other"}, False),
        ({"product": "other", "region": "other"}, False),
    ],
)
def test_a_rule_wants_its_alert_by_its_breakdown(changes: dict[str, str], wanted: bool) -> None:
    labels = LABELS | changes
    alert = ALERT._replace(name=labels["alertname"], labels=labels)
    assert rules_for(alert, RuleSet((RULE,))) == ([RULE] if wanted else [])


def test_a_rule_without_breakdowns_wants_any_that_names_something() -> None:
    rule = replace(RULE, on_alert=OnAlert(ALERT.name, frozenset(), 0))
    assert rules_for(ALERT._replace(labels={"campaign": "nowruz"}), RuleSet((rule,))) == [rule]
    assert rules_for(ALERT._replace(labels={"severity": "page"}), RuleSet((rule,))) == []


def test_what_is_asked_says_what_the_alert_is_about() -> None:
    found = asked()
    assert (found.rule, found.channel, found.customer) == ("trouble", "call_task", "customer:a")
    assert (found.subject, found.body) == ("P-1", "north: a call back")
    assert found.identifiers == ["cookie:k", "customer:a"]
    assert found.why.startswith("alert JourneyDistressRising: product P-1, region north")


def test_an_alert_told_again_is_one_question_and_another_alert_another() -> None:
    first = asked().decision_id
    assert asked(now_ms=NOON + DAY_MS).decision_id == first
    assert asked(ALERT._replace(labels=LABELS | {"severity": "page"})).decision_id == first
    assert asked(ALERT._replace(began_ms=ALERT.began_ms + 1)).decision_id != first
    assert asked(ALERT._replace(fingerprint="0")).decision_id != first


def test_what_was_deferred_is_asked_once_more_when_quiet_hours_end() -> None:
    limits = Limits(quiet=Quiet(time(21), time(9)))
    guard = Guard(RuleSet((RULE,), limits))
    night, later = NOON + DAY_MS // 2, NOON + DAY_MS // 2 + 300_000
    told = []
    for at_ms in (night, later, NOON + DAY_MS, NOON + DAY_MS + 300_000):
        decision = guard.decide(asked(now_ms=at_ms, limits=limits), at_ms)
        told.append((decision.taken, decision.suppressed_by) if decision else None)
    assert told == [(False, "quiet_hours"), None, (True, ""), None]


def test_quiet_hours_are_those_of_the_customer() -> None:
    limits = Limits(quiet=Quiet(time(21), time(9)))
    here, there = (asked(limits=limits, zone=zone) for zone in ("UTC", "Asia/Tokyo"))
    assert here.decision_id == asked().decision_id != there.decision_id


def test_conditions_hold_back_whom_they_do_not_fit() -> None:
    picky = replace(RULE, when={"purchases": Range(above=0)})
    assert ask_for(ALERT, picky, facts(), [], Limits()) is None


def test_a_rule_on_an_alert_does_not_ask_by_itself() -> None:
    assert ask(facts(), [], {}, {}, RuleSet((RULE,))).requests == []


FILE = """\
rules:
  - name: trouble
    on_alert: {name: JourneyDistressRising, breakdown: [product_region, product], back: 5m}
    channel: sms
    ways_out: [refund]
    template:
      en: {subject: "{product}", body: Sorry}
      fa: {subject: "{product}", body: پوزش}
"""


def load(folder: Path, text: str) -> RuleSet:
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return load_rules(path)


def test_a_rule_on_an_alert_is_read(tmp_path: Path) -> None:
    (rule,) = load(tmp_path, FILE).rules
    named = frozenset({"product_region", "product"})
    assert rule.on_alert == OnAlert("JourneyDistressRising", named, 300_000)
    assert rule.when == {}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("product_region, ", "shop, ", "3: rules[trouble].on_alert.breakdown[0]: 'shop' is not kn"),
        ("name: JourneyDistressRising, ", "", "3: rules[trouble].on_alert.name: is missing; add"),
        ("back: 5m", "back: 5", "3: rules[trouble].on_alert.back: '5' is not a time of at most a"),
        ("back: 5m", "bock: 5m", "3: rules[trouble].on_alert.bock: is not known; known: name, br"),
        ("breakdown: [product_region, product]", "breakdown: []", "3: rules[trouble].on_alert.br"),
        ("product]", "region]", "2: rules[trouble]: template.en: {product} is known where every"),
        (", breakdown: [product_region, product]", "", "2: rules[trouble]: template.en: {product}"),
        ("    on_alert: {", "    # {", "2: rules[trouble]: says not when; give when or on_alert"),
        ("    channel", "    for: 2h\n    channel", "2: rules[trouble]: for: the alert has one of"),
    ],
)
def test_a_fault_is_told_with_line_field_and_fix(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert old in FILE
    with pytest.raises(RulesError) as refused:
        load(tmp_path, FILE.replace(old, new, 1))
    assert str(refused.value).startswith(f"{tmp_path / 'rules.yaml'}:{fault}")


def test_the_alerts_of_the_shipped_rules_exist() -> None:
    rules = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules"
    known = {
        rule.get("alert")
        for file in rules.glob("*.yaml")
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    }
    named = {rule.on_alert.name for rule in load_rules(DEFAULT).rules if rule.on_alert}
    assert named
    assert named <= known
