"""The rules file: YAML to `core.rules.RuleSet`, read once in a composition root."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)

from schemas.stage import STAGES
from streams.core import account_rules
from streams.core.accounts import BANDS
from streams.core.breakdown import BREAKDOWNS, DIMENSIONS
from streams.core.evidence import DAY_MS
from streams.core.phrases import CAUSES
from streams.core.quiet import Quiet
from streams.core.rules import (
    BROKEN,
    CHANNELS,
    Amount,
    Cap,
    Drop,
    Limits,
    OnAlert,
    Range,
    Rule,
    RuleSet,
)
from streams.core.template import ABOUT, LANGUAGES, LINK, PLACES, WAYS_OUT, Template, places
from streams.core.value import SEGMENTS
from streams.yaml_file import Fault, FileError, Strict, load_file, told

DEFAULT: Final = Path(__file__).with_name("rules.yaml")
_UNITS: Final = {"m": 60_000, "h": 3_600_000, "d": DAY_MS}
_LONGEST: Final = 366 * DAY_MS
_WEEK: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_STAGES: Final = tuple(sorted({stage for types in STAGES.values() for stage in types.values()}))


class RulesError(FileError):
    """The rules file is missing or invalid."""


def load_rules(path: Path | None) -> RuleSet:
    """The rules of a YAML file; those shipped where there is none. Raises RulesError."""
    path = path or DEFAULT
    read, given, lines = load_file(path, _File, RulesError)
    ruleset = read.ruleset()
    first: dict[str, int] = {}
    for n, rule in enumerate(ruleset.rules):
        if first.setdefault(rule.name, n) != n:
            at = ("rules", n, "name")
            other = lines["rules", first[rule.name], "name"]
            message = f"is the name of the rule in line {other} too; name each differently"
            raise RulesError(Fault(path, lines[at], told(at, given), message))
    return ruleset


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _one_of(known: tuple[str, ...] | Mapping[str, Any]) -> AfterValidator:
    names = tuple(known)

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"{value!r} is not known; known: {', '.join(names)}")
        return value

    return AfterValidator(check)


def _duration(value: Any) -> Any:
    found = re.fullmatch(r"([1-9]\d{0,5})([mhd])", value) if isinstance(value, str) else None
    if found is None or int(found[1]) * _UNITS[found[2]] > _LONGEST:
        raise ValueError(f"{value!r} is not a time of at most a year, such as 30m, 2h or 14d")
    return int(found[1]) * _UNITS[found[2]]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{value!r} is no time zone; write one such as Asia/Tehran") from None
    return value


def _clock(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"{value!r} is no time of day; write it as 21:00")
    return time.fromisoformat(value)


def _text(value: str) -> str:
    try:
        unknown = [name for name in places(value) if name not in PLACES and name != LINK]
    except ValueError as error:
        raise ValueError(f"{error}; write a brace of the text twice") from None
    if unknown:
        known = ", ".join((*PLACES, LINK))
        raise ValueError(f"{{{unknown[0]}}} is not a placeholder; known: {known}")
    return value


Duration = Annotated[int, BeforeValidator(_duration)]
Clock = Annotated[time, BeforeValidator(_clock)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4_000), AfterValidator(_text)]
Line = Annotated[Text, StringConstraints(max_length=200, pattern=r"^[^\r\n]*$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_LISTED: Final = (BeforeValidator(_listed), Field(min_length=1))
Words = Annotated[list[Word], *_LISTED]


class _Range(Strict):
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _some(self) -> _Range:
        if self.above is None and self.below is None:
            raise ValueError("says nothing; give above, below or both")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError("no number is above the one and below the other")
        return self

    def range(self) -> Range:
        given = {name: bound for name, bound in self if bound is not None}
        return Range(**given)


class _Amount(_Range):
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]

    def amount(self) -> Amount:
        given = {n: bound for n, bound in self if bound is not None and n != "currency"}
        return Amount(self.currency, Range(**given))


class _Drop(Strict):
    points: Annotated[int, Field(ge=1, le=100)]
    days: Annotated[int, Field(ge=1, le=366)]


Causes = Annotated[list[Annotated[str, _one_of(CAUSES)]], *_LISTED]
Broken = Annotated[list[Annotated[str, _one_of(BROKEN)]], *_LISTED]
Stages = Annotated[list[Annotated[str, _one_of(_STAGES)]], *_LISTED]
Bands = Annotated[list[Annotated[str, _one_of(BANDS)]], *_LISTED]
Segments = Annotated[list[Annotated[str, _one_of(SEGMENTS)]], *_LISTED]
WaysOut = Annotated[list[Annotated[str, _one_of(WAYS_OUT)]], *_LISTED]
Breakdowns = Annotated[list[Annotated[str, _one_of(BREAKDOWNS)]], *_LISTED]
Days = Annotated[list[Annotated[str, _one_of(_WEEK)]], *_LISTED, Field(max_length=6)]


class When(Strict):
    """The conditions of a rule, named as in `core.rules` and, the last, `core.account_rules`."""

    health: _Range | None = None
    distress: _Range | None = None
    sentiment: _Range | None = None
    cause: Causes | None = None
    promise_broken: Broken | None = None
    silence: _Range | None = None
    stage: Stages | None = None
    segment: Segments | None = None
    clv: _Amount | None = None
    alive: _Range | None = None
    gives: _Range | None = None
    gets: _Range | None = None
    purchases: _Range | None = None
    tenure: _Range | None = None
    account: Words | None = None
    has_account: bool | None = None
    role: Words | None = None
    health_drop: _Drop | None = None
    account_health: _Range | None = None
    account_band: Bands | None = None
    account_health_drop: _Drop | None = None
    weakest_contact: _Range | None = None
    contacts: _Range | None = None

    @model_validator(mode="after")
    def _some(self) -> When:
        if not self.model_fields_set:
            raise ValueError(f"is empty; give a condition: {', '.join(When.model_fields)}")
        return self

    def conditions(self) -> dict[str, Any]:
        """What each condition given compares with, as the core has it."""
        return {
            name: _compared(value)
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


def _compared(value: Any) -> Any:
    if isinstance(value, _Amount):
        return value.amount()
    if isinstance(value, _Range):
        return value.range()
    if isinstance(value, _Drop):
        return Drop(value.points, value.days)
    return frozenset(value) if isinstance(value, list) else value


class _Template(Strict):
    subject: Line
    body: Text


class _Templates(Strict):
    en: _Template
    fa: _Template


class _OnAlert(Strict):
    name: Word
    breakdown: Breakdowns | None = None
    back: Duration = 600_000

    def on_alert(self) -> OnAlert:
        return OnAlert(self.name, frozenset(self.breakdown or ()), self.back)

    def tells(self) -> set[str]:
        """What every breakdown of it says the alert is about."""
        named = [{DIMENSIONS[at] for at in BREAKDOWNS[name][0]} for name in self.breakdown or ()]
        return set.intersection(*named) if named else set()


class _Rule(Strict):
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    when: When | None = None
    on_alert: _OnAlert | None = None
    to: Words | None = None
    hold: Annotated[Duration, Field(alias="for")] = 0
    channel: Annotated[str, _one_of(CHANNELS)]
    cooldown: Duration = 14 * DAY_MS
    ways_out: WaysOut
    template: _Templates

    @model_validator(mode="after")
    def _addressed(self) -> _Rule:
        given = self.when.model_fields_set if self.when is not None else set[str]()
        of_account = sorted(given & account_rules.CONDITIONS.keys())
        if of_account and self.on_alert is not None:
            raise ValueError(
                f"when.{of_account[0]}: on_alert asks for customers, one by one; leave one out"
            )
        if of_account and self.to is None:
            raise ValueError(
                f"to: is missing; {of_account[0]} is of an account, so say whom of its contacts "
                f"to address: roles, or {account_rules.ANYONE}"
            )
        if self.to is not None and not of_account:
            raise ValueError(
                "to: goes with a condition on the account only; leave it out or give one: "
                + ", ".join(account_rules.CONDITIONS)
            )
        return self

    @model_validator(mode="after")
    def _link(self) -> _Rule:
        for language in LANGUAGES:
            text: _Template = getattr(self.template, language)
            linked = LINK in places(text.body) or LINK in places(text.subject)
            if linked != (self.channel == "survey_link"):
                fix = "leave it out" if linked else "add {link} to its body"
                raise ValueError(
                    f"template.{language}: {{link}} goes with channel survey_link only; {fix}"
                )
        return self

    @model_validator(mode="after")
    def _asked_for(self) -> _Rule:
        if self.when is None and self.on_alert is None:
            raise ValueError("says not when; give when or on_alert")
        if self.on_alert is not None and self.hold:
            raise ValueError("for: the alert has one of its own; leave it out")
        told = self.on_alert.tells() if self.on_alert is not None else set()
        for language in LANGUAGES:
            text: _Template = getattr(self.template, language)
            for name in (*places(text.subject), *places(text.body)):
                if name in ABOUT and name not in told:
                    raise ValueError(
                        f"template.{language}: {{{name}}} is known where every breakdown of "
                        f"on_alert has it; leave it out, or name such breakdowns"
                    )
        return self

    def rule(self) -> Rule:
        texts = {name: getattr(self.template, name) for name in LANGUAGES}
        given = self.when.conditions() if self.when is not None else {}
        of_account = account_rules.CONDITIONS.keys()
        return Rule(
            self.name,
            {name: value for name, value in given.items() if name not in of_account},
            self.channel,
            tuple(dict.fromkeys(self.ways_out)),
            {name: Template(text.subject, text.body) for name, text in texts.items()},
            self.hold,
            self.cooldown,
            self.on_alert.on_alert() if self.on_alert is not None else None,
            {name: value for name, value in given.items() if name in of_account},
            tuple(dict.fromkeys(self.to or ())),
        )


class _Hours(Strict):
    start: Annotated[Clock, Field(alias="from")]
    end: Annotated[Clock, Field(alias="to")]


class _Cap(Strict):
    most: Annotated[int, Field(ge=1)]
    span: Annotated[Duration, Field(alias="in")]

    def cap(self) -> Cap:
        return Cap(self.most, self.span)


class _Guard(Strict):
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    language: Literal["en", "fa"] = "en"
    quiet_hours: _Hours | None = None
    quiet_days: Days | None = None
    consent: Literal["opt_out", "opt_in"] = "opt_out"
    customer_cap: _Cap | None = None
    account_cap: _Cap | None = None
    budget: Annotated[int, Field(ge=0)] | None = None
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    salt: str = ""

    def limits(self) -> Limits:
        hours = self.quiet_hours or _Hours(**{"from": "00:00", "to": "00:00"})
        days = frozenset(_WEEK.index(day) for day in self.quiet_days or ())
        return Limits(
            zone=self.zone,
            language=self.language,
            quiet=Quiet(hours.start, hours.end, days),
            ask_first=self.consent == "opt_in",
            customer_cap=self.customer_cap.cap() if self.customer_cap else None,
            account_cap=self.account_cap.cap() if self.account_cap else None,
            budget=self.budget,
            holdout=self.holdout,
            salt=self.salt,
        )


class _File(Strict):
    guard: _Guard = _Guard()
    rules: list[_Rule]

    def ruleset(self) -> RuleSet:
        return RuleSet(tuple(rule.rule() for rule in self.rules), self.guard.limits())
