"""One touchpoint resolved: normalised, scored, counted into its anchor's part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.outcome import JourneyStep, Link, Member
from schemas.stage import stage_of
from schemas.state import AnchorState, PartUpdate
from schemas.touchpoint import CHANNEL_FIELDS, Touchpoint
from streams.core.identifiers import anchor_of, normalise
from streams.core.journey import MAX_SEEN, apply
from streams.core.sentiment import VERSION, score

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_json: Final = msgspec.json.Encoder()
# What may stand in a step's `fields`; amount and currency have columns of their own.
_FIELDS: Final = {
    channel: (*(f for f in fields if f not in ("amount_minor", "currency")), "purpose")
    for channel, fields in CHANNEL_FIELDS.items()
}


def step_of(touchpoint: Touchpoint, received_ms: int, key: bytes, region: str) -> JourneyStep:
    """The ledger row of a touchpoint. `key` and `region` as in `identifiers.normalise`."""
    names = {normalise(i.kind.value, i.value, key, region) for i in touchpoint.identifiers}
    channel = touchpoint.channel
    fields: dict[str, str] = {}
    for name in _FIELDS[channel]:
        value = getattr(touchpoint, name)
        if value is not None:
            fields[name] = _as_text(value)
    text = touchpoint.text or ""
    mood = score(text, touchpoint.language) if text else None
    amount: int | None = getattr(touchpoint, "amount_minor", None)
    return JourneyStep(
        event_id=str(touchpoint.event_id),
        occurred_ms=to_ms(touchpoint.occurred_at),
        anchor=anchor_of(names),
        channel=channel,
        type=touchpoint.type,
        stage=stage_of(channel, touchpoint.type),
        identifiers=sorted(names),
        account=touchpoint.account or "",
        text=text,
        language=mood.language if mood else touchpoint.language or "",
        sentiment=mood.score if mood else 0,
        distress=mood.distress if mood else 0,
        scorer=VERSION if mood else "",
        fields=fields,
        amount_minor=amount or 0,
        currency=getattr(touchpoint, "currency", None) or "",
        properties=_json.encode(touchpoint.properties).decode() if touchpoint.properties else "{}",
        received_ms=received_ms,
    )


def count(state: AnchorState, step: JourneyStep, offset: int) -> bool:
    """Count a step into its anchor's state; False where it was counted already.

    What was counted is known by its offset (a replay) or its event id (a producer that sent
    twice): the newest `MAX_SEEN` ids are remembered.
    """
    if offset <= state.offset:
        return False
    state.offset = offset
    mark = _mark_of(step.event_id)
    if mark in state.seen:
        return False
    state.seen.append(mark)
    if len(state.seen) > MAX_SEEN:
        del state.seen[: len(state.seen) - MAX_SEEN]
    apply(state.part, step)
    return True


def links_of(state: AnchorState, step: JourneyStep) -> list[Link]:
    """Links of the step's anchor to its other identifiers that are news, remembered as announced.

    An earlier evidence than the one announced is news too, so that the evidence kept is the
    earliest in whatever order touchpoints arrive.
    """
    if len(step.identifiers) == 1:
        return []
    evidence = (step.occurred_ms, step.event_id)
    news = []
    for other in step.identifiers:
        known = state.linked.get(other)
        if other == step.anchor or (known is not None and known <= evidence):
            continue
        state.linked[other] = evidence
        a, b = sorted((step.anchor, other))
        news.append(Link(a, b, step.event_id, step.occurred_ms, step.channel))
    return news


def join(state: AnchorState, member: Member) -> str | None:
    """Take an identifier's new customer; the customer it left, or None where nothing changes."""
    if member.epoch <= state.epoch:
        return None
    left = state.customer or member.identifier
    state.epoch = member.epoch
    state.customer = "" if member.customer == member.identifier else member.customer
    return None if left == member.customer else left


def update_of(anchor: str, state: AnchorState, received_ms: int) -> PartUpdate:
    """The anchor's part for its present customer."""
    return PartUpdate(
        anchor=anchor,
        customer=state.customer or anchor,
        epoch=state.epoch,
        n=state.part.n,
        part=state.part,
        received_ms=received_ms,
    )


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, rounded down; exact, where floats are not."""
    return (moment - _EPOCH) // _MILLISECOND


def _as_text(value: Any) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    return str(to_ms(value)) if isinstance(value, datetime) else str(value)


def _mark_of(event_id: str) -> int:
    return int(event_id[:8] + event_id[24:32], 16)
