"""The rules file: what is read from it, and errors that name the line, the field and the fix."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from streams.core.evidence import DAY_MS
from streams.core.quiet import Quiet
from streams.core.rules import Amount, Cap, Drop, Limits, Range
from streams.rules import DEFAULT, RulesError, load_rules

FILE = """\
guard:
  zone: Europe/Berlin
  language: fa
  quiet_hours: {from: 21:00, to: 09:00}
  quiet_days: friday
  consent: opt_in
  customer_cap: {most: 2, in: 7d}
  account_cap: {most: 5, in: 36h}
  budget: 500
  holdout: 0.05
  salt: no
rules:
  - name: late
    when:
      promise_broken: [overdue, late]
      clv: {currency: IRR, above: 5000000}
      health: {below: 50}
      has_account: yes
      health_drop: {points: 15, days: 7}
    for: 2h
    channel: sms
    cooldown: 30d
    ways_out: [refund, refund, call_back]
    template:
      en: {subject: Late, body: "{reason}: {ways_out}"}
      fa: {subject: دیر, body: "{reason}: {ways_out} {{}}"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_reaches_the_core(tmp_path: Path) -> None:
    found = load_rules(written(tmp_path, FILE))
    assert found.limits == Limits(
        zone="Europe/Berlin",
        language="fa",
        quiet=Quiet(time(21), time(9), frozenset({4})),
        ask_first=True,
        customer_cap=Cap(2, 7 * DAY_MS),
        account_cap=Cap(5, DAY_MS * 3 // 2),
        budget=500,
        holdout=0.05,
        salt="no",
    )
    (rule,) = found.rules
    assert rule.when == {
        "promise_broken": frozenset({"overdue", "late"}),
        "clv": Amount("IRR", Range(above=5e6)),
        "health": Range(below=50),
        "has_account": True,
        "health_drop": Drop(15, 7),
    }
    assert (rule.channel, rule.ways_out) == ("sms", ("refund", "call_back"))
    assert (rule.hold_ms, rule.cooldown_ms) == (DAY_MS // 12, 30 * DAY_MS)


def test_without_a_file_the_shipped_rules_hold() -> None:
    assert load_rules(None) == load_rules(DEFAULT)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("zone: Europe/Berlin", "zone: Berlin", "2: guard.zone: 'Berlin' is no time zone; write"),
        ("language: fa", "language: de", "3: guard.language: is 'de'; should be 'en' or 'fa'"),
        ("from: 21:00", "from: 25:00", "4: guard.quiet_hours.from: '25:00' is no time of day;"),
        ("days: friday", "days: freitag", "5: guard.quiet_days[0]: 'freitag' is not known; known:"),
        ("most: 2, in", "most: 2, on", "7: guard.customer_cap.in: is missing; add it"),
        ("most: 5", "most: 0", "8: guard.account_cap.most: is '0'; should be greater than or"),
        ("in: 36h", "in: 2y", "8: guard.account_cap.in: '2y' is not a time of at most a year"),
        ("budget: 500", "budget: all", "9: guard.budget: is 'all'; should be a valid integer"),
        ("holdout: 0.05", "holdout: 1", "10: guard.holdout: is '1'; should be less than 1"),
        ("salt: no", "slat: no", "11: guard.slat: is not known; known: zone, language, quiet_"),
        ("name: late", "name: Late!", "13: rules[Late!].name: is 'Late!'; should match pattern"),
        ("[overdue, late]", "[]", "15: rules[late].when.promise_broken: is empty; give at least"),
        ("[overdue, late]", "[lost]", "15: rules[late].when.promise_broken[0]: 'lost' is not"),
        ("currency: IRR, ", "", "16: rules[late].when.clv.currency: is missing; add it"),
        ("health: {below: 50}", "health: {}", "17: rules[late].when.health: says nothing; give"),
        ("{below: 50}", "{below: 5, above: 9}", "17: rules[late].when.health: no number is above"),
        ("      health: ", "      helth: ", "17: rules[late].when.helth: is not known; known: h"),
        ("for: 2h", "for: 2", "20: rules[late].for: '2' is not a time of at most a year, such"),
        ("sms", "fax", "21: rules[late].channel: 'fax' is not known; known: webhook, email, sms"),
        ("cooldown: 30d", "cooldown: 0d", "22: rules[late].cooldown: '0d' is not a time of at"),
        ("[refund, refund, call_back]", "[]", "23: rules[late].ways_out: is empty; give at least"),
        ("refund, refund, ", "hug, ", "23: rules[late].ways_out[0]: 'hug' is not known; known: r"),
        ("subject: Late, ", "", "25: rules[late].template.en.subject: is missing; add it"),
        ("subject: Late", 'subject: "a\\nb"', "25: rules[late].template.en.subject: is 'a\\nb'; s"),
        ('en: {subject: Late, body: "{reason}', 'en: {subject: L, body: "{reason', "25: "),
        ("{reason}: {ways_out} {{}}", "{reson}", "26: rules[late].template.fa.body: {reson} is n"),
        ("{reason}: {ways_out} {{}}", "{health:>9}", "26: rules[late].template.fa.body: {health}"),
        ("{reason}: {ways_out} {{}}", "{health.x}", "26: rules[late].template.fa.body: {health.x}"),
        ("{reason}: {ways_out} {{}}", "{0}", "26: rules[late].template.fa.body: {0} is not a pl"),
        ("{reason}: {ways_out} {{}}", "{link}", "13: rules[late]: template.fa: {link} goes with"),
        ("sms", "survey_link", "13: rules[late]: template.en: {link} goes with channel survey_l"),
        ("  language: fa", "  language: fa\n  zone: UTC", "4: guard.zone: stands twice; keep one"),
        ("rules:", "rules: {", "13: is not YAML: "),
        ("rules:", "rulez:", "1: rules: is missing; add it"),
    ],
)
def test_a_fault_is_told_with_line_field_and_fix(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    assert old in FILE
    path = written(tmp_path, FILE.replace(old, new, 1))
    with pytest.raises(RulesError) as refused:
        load_rules(path)
    first = str(refused.value).splitlines()[0]
    assert first.startswith(f"{path}:{fault}")
    assert "pydantic" not in str(refused.value)


ACCOUNT = """\
rules:
  - name: falling
    when:
      account_band: [red, amber]
      account_health_drop: {points: 15, days: 30}
      contacts: {above: 2}
      silence: {above: 14}
    to: [decision_maker, champion, decision_maker]
    channel: sms
    ways_out: [refund]
    template:
      en: {subject: a, body: b}
      fa: {subject: a, body: b}
"""


def test_conditions_on_the_account_and_on_the_contact_go_their_ways(tmp_path: Path) -> None:
    (rule,) = load_rules(written(tmp_path, ACCOUNT)).of_accounts
    assert rule.account == {
        "account_band": frozenset({"red", "amber"}),
        "account_health_drop": Drop(15, 30),
        "contacts": Range(above=2),
    }
    assert rule.when == {"silence": Range(above=14)}
    assert rule.to == ("decision_maker", "champion")


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[red, amber]", "[rot]", "4: rules[falling].when.account_band[0]: 'rot' is not known; k"),
        ("points: 15", "points: 0", "5: rules[falling].when.account_health_drop.points: is '0'; "),
        ("contacts: {above: 2}", "contacts: 2", "6: rules[falling].when.contacts: "),
        ("to: [decision_maker, champion, decision_maker]", "to: []", "8: rules[falling].to: is em"),
        ("    to: [decision_maker, champion, decision_maker]\n", "", "2: rules[falling]: to: is m"),
        (
            ACCOUNT[ACCOUNT.index("      account_band") : ACCOUNT.index("      silence")],
            "",
            "2: rules[falling]: to: goes with a condition on the account only; leave it out",
        ),
    ],
)
def test_a_fault_of_an_account_rule_is_told(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in ACCOUNT
    path = written(tmp_path, ACCOUNT.replace(old, new, 1))
    with pytest.raises(RulesError) as refused:
        load_rules(path)
    assert str(refused.value).splitlines()[0].startswith(f"{path}:{fault}")


def test_every_fault_is_told_in_order_of_the_file(tmp_path: Path) -> None:
    text = FILE.replace("sms", "fax").replace("budget: 500", "budget: x").replace("2h", "2")
    with pytest.raises(RulesError) as refused:
        load_rules(written(tmp_path, text))
    lines = [line.split(":")[1] for line in str(refused.value).splitlines()]
    assert lines == ["9", "20", "21"]


def test_two_rules_of_one_name_are_refused_at_the_second(tmp_path: Path) -> None:
    rule = FILE[FILE.index("  - name") :]
    path = written(tmp_path, FILE + rule)
    with pytest.raises(RulesError, match=r"27: rules\[late\]\.name: is the name of the rule in"):
        load_rules(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "1: rules: is missing"),
        (b"- a", "1: "),
        (b"\xff\xfe", ": is not UTF-8"),
        (b"rules: &a [*a]", "1: "),
        (b"rules: []\nguard: !!python/object/apply:os.system [ls]", "2: guard: "),
    ],
)
def test_what_is_no_rules_file_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(content)
    with pytest.raises(RulesError) as refused:
        load_rules(path)
    assert fault in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"none\.yaml: No such file.*unset the setting"):
        load_rules(tmp_path / "none.yaml")
