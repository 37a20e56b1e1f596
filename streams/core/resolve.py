"""One touchpoint resolved: normalised, scored, counted into its anchor's part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.outcome import JourneyStep, Link, Member
from schemas.stage import stage_of
from schemas.state import AnchorState, PartUpdate
from schemas.touchpoint import CHANNEL_FIELDS, Touchpoint
from streams.core.denial import is_denied
from streams.core.identifiers import anchor_of, normalise
from streams.core.journey import MAX_SEEN, apply
from streams.core.sentiment import VERSION, score

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
# Links an anchor remembers to have announced; one forgotten is announced again, which is harmless.
MAX_LINKED: Final = 256
_NEVER: Final = -1
_json: Final = msgspec.json.Encoder()
# What may stand in a step's `fields`; amount and currency have columns of their own.
_FIELDS: Final = {
    channel: (*(f for f in fields if f not in ("amount_minor", "currency")), "purpose")
    for channel, fields in CHANNEL_FIELDS.items()
}


class Counted(msgspec.Struct):
    """Of a part, how much it has counted."""

    n: int = 0


class AnchorHead(msgspec.Struct):
    """Of an anchor's state, what tells which of two counts: quick to decode."""

    part: Counted = msgspec.field(default_factory=Counted)
    customer: str = ""
    epoch: int = 0
    left: dict[str, tuple[int, int]] = {}
    forgot: int = 0
    offset: int = -1


def step_of(
    touchpoint: Touchpoint,
    received_ms: int,
    key: bytes,
    region: str,
    own: frozenset[str] = frozenset(),
) -> JourneyStep:
    """The ledger row of a touchpoint. `key`, `region` and `own` as in `identifiers.normalise`."""
    names = {normalise(i.kind.value, i.value, key, region, own) for i in touchpoint.identifiers}
    event_id = str(touchpoint.event_id)
    channel = touchpoint.channel
    given = touchpoint.__dict__  # as attributes, pydantic would look twice
    fields: dict[str, str] = {}
    for name in _FIELDS[channel]:
        value = given[name]
        if value is not None:
            fields[name] = _as_text(value)
    text = touchpoint.text or ""
    mood = score(text, touchpoint.language) if text else None
    return JourneyStep(
        event_id=event_id,
        occurred_ms=to_ms(touchpoint.occurred_at),
        anchor=anchor_of(names, event_id),
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
        amount_minor=given.get("amount_minor") or 0,
        currency=given.get("currency") or "",
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
        if other == step.anchor or is_denied(other):
            continue
        known = state.linked.get(other)
        if known is not None and known <= evidence:
            continue
        state.linked[other] = evidence
        if len(state.linked) > MAX_LINKED:
            del state.linked[next(iter(state.linked))]
        a, b = sorted((step.anchor, other))
        news.append(Link(a, b, step.event_id, step.occurred_ms, step.channel))
    return news


def join(state: AnchorState, member: Member) -> bool:
    """Take an identifier's new customer; whether its part, if any, has to be sent.

    It has to also where the member was taken before, or one that says the same: the worker may
    have died before it sent. Customers left are remembered until they are told, since one may have
    been sent a part by a worker that died before it wrote that down.
    """
    if member.epoch > state.epoch:
        customer = "" if member.customer == member.identifier else member.customer
        state.epoch = member.epoch
        if customer == state.customer:
            return bool(to_tell(state)) and is_told(state)
        _, told = state.left.get(state.customer, (0, _NEVER))
        state.left[state.customer] = (member.epoch, told)
        state.customer = customer
    return is_told(state)


def to_tell(state: AnchorState) -> list[str]:
    """Customers the anchor has left that do not know yet; empty for itself."""
    return [name for name, (by, told) in state.left.items() if told < by and name != state.customer]


def tell(state: AnchorState) -> None:
    """Remember that every customer left was told."""
    for name in to_tell(state):
        by, _ = state.left[name]
        state.left[name] = (by, by)


def merge(one: AnchorState, other: AnchorState) -> AnchorState:
    """What two owners know of an anchor, one of which did not know that it was none any more.

    What was counted and where it belongs are versioned apart: an owner that read further in the
    touchpoints may be behind in the members. Commutative, associative and idempotent. A customer
    that either of them may have sent the part to is remembered until it is told.
    """
    counted = max(one, other, key=_counted)
    placed = max(one, other, key=_placed)
    return AnchorState(
        part=counted.part,
        customer=placed.customer,
        epoch=placed.epoch,
        left=_left(one, other),
        offset=counted.offset,
        seen=counted.seen,
        linked=counted.linked,
        forgot=max(one.forgot, other.forgot),
    )


def supersedes(news: AnchorHead, known: AnchorHead) -> bool:
    """Whether merging would change nothing of the news."""
    return (
        _counted(news) >= _counted(known)
        and _placed(news) >= _placed(known)
        and news.forgot >= known.forgot
        and _left(news, known) == news.left
    )


def _counted(state: AnchorHead | AnchorState) -> tuple[int, int, int]:
    return state.offset, state.part.n, state.forgot


def _placed(state: AnchorHead | AnchorState) -> tuple[int, str]:
    return state.epoch, state.customer


def _left(
    one: AnchorHead | AnchorState, other: AnchorHead | AnchorState
) -> dict[str, tuple[int, int]]:
    if one.forgot != other.forgot:  # names one of them may not know any more
        return dict(max(one, other, key=lambda state: state.forgot).left)
    left = dict(one.left)
    behind = min(one, other, key=_placed)
    moved = one.customer != other.customer
    for name, (by, told) in (
        *other.left.items(),
        *([(behind.customer, (behind.epoch + 1, _NEVER))] if moved else ()),
    ):
        known_by, known_told = left.get(name, (0, _NEVER))
        left[name] = (max(by, known_by), max(told, known_told))
    return left


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


def updates_of(anchor: str, state: AnchorState, received_ms: int) -> list[PartUpdate]:
    """The anchor's part, if it has one, for its present customer, and news for those it left."""
    update = update_of(anchor, state, received_ms)
    gone = [
        msgspec.structs.replace(update, customer=name or anchor, part=None)
        for name in to_tell(state)
    ]
    return [update, *gone] if update.n else gone


def is_told(state: AnchorState) -> bool:
    """Whether customers have to hear of a move.

    Without a part those that were left have to all the same: who is erased has to know whose
    state names it. The identifier itself is nobody else.
    """
    return bool(state.part.n or any(to_tell(state)))


def forget(state: AnchorState, erased: str) -> None:
    """Drop another identifier's name; it is announced again when it is seen again."""
    state.linked.pop(erased, None)
    state.left.pop(erased, None)
    state.forgot += 1


def homes_of(anchor: str, state: AnchorState | None) -> list[str]:
    """Every customer that may hold something of the anchor's, were it only its name."""
    names = (state.customer, *state.left) if state is not None else ()
    return list(dict.fromkeys((anchor, *(name or anchor for name in names))))


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, rounded down; exact, where floats are not."""
    return (moment - _EPOCH) // _MILLISECOND


def _as_text(value: Any) -> str:
    if value is True or value is False:
        return "true" if value else "false"
    return str(to_ms(value)) if isinstance(value, datetime) else str(value)


def _mark_of(event_id: str) -> int:
    """64 bits of an event id, mixed so that ids which count up differ too."""
    digits = event_id.replace("-", "")
    return (int(digits[:16], 16) * 0x9E3779B97F4A7C15 + int(digits[16:], 16)) & 0xFFFFFFFFFFFFFFFF
