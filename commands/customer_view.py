"""`journey customer` for people: health with its history and reasons, and the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analytics.standing import Point, Standing
from analytics.timeline import Moment, Timeline
from commands.render import COLOURS
from schemas.outcome import CustomerHealth
from streams.core.jalali import from_gregorian
from streams.core.phrases import Language, localised
from streams.core.policy import Policy

_SPARKS: Final = "▁▂▃▄▅▆▇█"
_PERSIAN: Final = {
    "as of": "در",
    "also": "همچنین",
    "account": "شرکت",
    "Health": "سلامت",
    "sentiment": "احساس",
    "distress": "پریشانی",
    "touchpoints": "رویداد",
    "segment": "گروه",
    "days": "روز گذشته",
    "weeks": "هفتهٔ گذشته",
    "last": "",
    "distress by": "پریشانی از",
    "Component": "مؤلفه",
    "Value": "مقدار",
    "Weight": "وزن",
    "Points": "امتیاز",
    "survey": "نظرسنجی",
    "effort": "زحمت",
    "promises": "قول‌ها",
    "resolution": "حل مشکل",
    "engagement": "همراهی",
    "recency": "تازگی",
    "red": "قرمز",
    "amber": "زرد",
    "green": "سبز",
    "devotee": "وفادار",
    "promising": "امیدبخش",
    "at risk": "در خطر",
    "lost": "از دست رفته",
    "decision_maker": "تصمیم‌گیرنده",
    "champion": "حامی",
    "user": "کاربر",
}


def show_customer(
    out: Console,
    one: Standing,
    record: CustomerHealth,
    step: str,
    points: Sequence[Point],
    line: Timeline,
    policy: Policy,
    language: Language,
) -> None:
    """Health with its history, reasons and components, and the timeline by sessions."""
    health = one.health

    def say(text: str) -> str:
        return _PERSIAN.get(text, text) if language == "fa" else text

    def figure(text: str) -> str:
        return localised(text, language)

    def tell(text: str) -> None:
        out.print(text, highlight=False, soft_wrap=True)

    moment = datetime.fromtimestamp(one.as_of_ms / 1000, UTC)
    tell(f"[bold]{escape(one.customer)}[/bold] {say('as of')} {clock(moment, language)}")
    others = [name for name in one.identifiers if name != one.customer]
    if others:
        tell(f"{say('also')} {escape(', '.join(others))}")
    if record.account:
        role = f" ({escape(say(record.role))})" if record.role else ""
        tell(f"{say('account')} {escape(record.account)}{role}")
    band = policy.band(health.score)
    facts = [
        f"{say('Health')} [{COLOURS[band]}]{figure(str(health.score))} {say(band)}[/]",
        f"{say('sentiment')} {figure(f'{health.sentiment / 1000:+.2f}')}",
        f"{say('distress')} {figure(f'{health.distress / 1000:.2f}')}",
        f"{say('touchpoints')} {figure(f'{one.touchpoints:,}')}",
    ]
    if record.segment:
        facts.append(f"{say('segment')} {say(record.segment)}")
    tell("\n" + "   ".join(facts))
    span = f"{say('last')} {figure(str(len(points)))} {say(step + 's')}".strip()
    tell(f"{spark(points, policy)}  [dim]{span}[/dim]\n")
    for reason in health.reasons(language=language):
        tell(f"  {escape(reason)}")
    if health.causes:
        comma = "، " if language == "fa" else ", "
        tell(f"  {say('distress by')} {escape(comma.join(health.distressed_by(language)))}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("Component", "Value", "Weight", "Points"):
        table.add_column(say(name), justify="left" if name == "Component" else "right")
    for component in health.components:
        table.add_row(
            say(component.name),
            figure(f"{component.value:.2f}"),
            figure(f"{component.weight:.1f}"),
            figure(f"{component.contribution:.1f}"),
        )
    out.print(table)
    for session in line.sessions:
        tell(f"[dim]{clock(session.started, language)}[/dim]")
        for moment_ in session.moments:
            tell(_moment(moment_, language))


def spark(points: Sequence[Point], policy: Policy) -> str:
    """Health's history as bars of one character, coloured by band."""
    bars = []
    for point in points:
        bar = _SPARKS[min(point.health * len(_SPARKS) // 100, len(_SPARKS) - 1)]
        bars.append(f"[{COLOURS[policy.band(point.health)]}]{bar}[/]")
    return "".join(bars)


def clock(moment: datetime, language: Language) -> str:
    """A moment in UTC, in Persian with its Jalali date before the Gregorian one."""
    moment = moment.astimezone(UTC)
    if language == "en":
        return f"{moment:%Y-%m-%d %H:%M} UTC"
    return localised(
        f"{_jalali(moment.date())} ({moment:%Y-%m-%d}) ساعت {moment:%H:%M} UTC", language
    )


def _jalali(day: date) -> str:
    year, month, number = from_gregorian(day)
    return f"{year}/{month:02}/{number:02}"


def _moment(moment: Moment, language: Language) -> str:
    told = {name: value for name, value in moment.fields.items() if name != "page"}
    if "promised_at" in told:
        promised = int(told["promised_at"])
        told["promised_at"] = clock(datetime.fromtimestamp(promised / 1000, UTC), language)
    if moment.amount_minor:
        told["amount"] = f"{moment.amount_minor / 100:,.2f} {moment.currency}"
    details = " ".join(f"{name}={value}" for name, value in told.items())
    mood = (
        f"  [dim]{localised(f'{moment.sentiment / 1000:+.2f}', language)}[/dim]"
        if moment.text
        else ""
    )
    text = f"  “{escape(moment.text)}”" if moment.text else ""
    at = localised(f"{moment.occurred_at:%H:%M:%S}", language)
    return f"  {at}  [cyan]{moment.channel}:{moment.type}[/cyan]  {escape(details)}{text}{mood}"
