"""The touchpoint contract: what producers send, one versioned union discriminated by channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    field_validator,
)

MAX_BYTES: Final = 64 * 1024
MAX_TEXT: Final = 8_192
MAX_AHEAD: Final = timedelta(minutes=5)
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class IdentifierKind(StrEnum):
    """What an identifier identifies; declared strongest first (see `core.identity`)."""

    CUSTOMER = "customer"
    EMAIL = "email"
    PHONE = "phone"
    ORDER = "order"
    SERIAL = "serial"
    DEVICE = "device"
    COOKIE = "cookie"


# Stripped of surrounding blanks; NUL and other C0 controls are refused.
Short = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=256, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$"
    ),
]
Page = Annotated[str, StringConstraints(max_length=2048)]


def _rfc3339(value: object) -> object:
    # A number is refused: seconds and milliseconds cannot be told apart.
    if (isinstance(value, str) and value[10:11] in ("T", "t", " ")) or isinstance(value, datetime):
        return value
    raise ValueError("is not an RFC 3339 time with zone, such as 2026-11-22T08:30:00+03:30")


Instant = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
PropertyName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
PropertyText = Annotated[str, StringConstraints(max_length=2048)]
PropertyValue = bool | int | float | PropertyText | None
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Minor = Annotated[int, Field(ge=-(10**15), le=10**15)]


class Identifier(BaseModel):
    """One name by which the customer was seen, such as a cookie or a phone number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: IdentifierKind
    value: Short


class _Base(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    event_id: UUID
    occurred_at: Instant
    type: EventType
    identifiers: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=16)]
    account: Short | None = None
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT)] | None = None
    language: Literal["fa", "en"] | None = None
    properties: Annotated[dict[PropertyName, PropertyValue], Field(max_length=64)] = Field(
        default_factory=dict
    )
    purpose: Short | None = None

    @field_validator("occurred_at")
    @classmethod
    def _plausible(cls, value: datetime, info: ValidationInfo) -> datetime:
        """Refuse times before 1970 and, where the context names `now`, far ahead of it."""
        if value < EARLIEST:
            raise ValueError("is before 1970; send the time the touchpoint happened")
        now: datetime | None = (info.context or {}).get("now")
        if now is not None and value > now + MAX_AHEAD:
            raise ValueError("is more than five minutes ahead; check the sender's clock and zone")
        return value


class _Digital(_Base):
    page: Page | None = None
    referrer: Page | None = None
    product: Short | None = None
    campaign: Short | None = None


class WebTouchpoint(_Digital):
    channel: Literal["web"]


class AppTouchpoint(_Digital):
    channel: Literal["app"]


class PackagingTouchpoint(_Base):
    channel: Literal["packaging"]
    serial: Short | None = None
    product: Short | None = None
    region: Short | None = None


class CallCenterTouchpoint(_Base):
    channel: Literal["call_center"]
    wait_seconds: Count | None = None
    talk_seconds: Count | None = None
    transfers: Count | None = None
    resolved: bool | None = None
    reason: Short | None = None


class SurveyTouchpoint(_Base):
    channel: Literal["survey"]
    survey: Literal["nps", "csat", "ces"] | None = None
    answer: Annotated[int, Field(ge=0, le=10)] | None = None

    @field_validator("answer")
    @classmethod
    def _in_scale(cls, answer: int | None, info: ValidationInfo) -> int | None:
        scale = SURVEY_SCALES.get(info.data.get("survey") or "")
        if answer is not None and scale and not scale[0] <= answer <= scale[1]:
            raise ValueError(f"is outside the {info.data['survey']} scale {scale[0]} to {scale[1]}")
        return answer


class StoreTouchpoint(_Base):
    channel: Literal["store"]
    branch: Short | None = None
    rating: Annotated[int, Field(ge=1, le=5)] | None = None


class OrderTouchpoint(_Base):
    channel: Literal["order"]
    order: Short | None = None
    product: Short | None = None
    amount_minor: Minor | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    promised_at: Annotated[Instant, Field(ge=EARLIEST)] | None = None


class ChatTouchpoint(_Base):
    channel: Literal["chat"]
    direction: Literal["inbound", "outbound"] | None = None
    resolved: bool | None = None


class OutreachTouchpoint(_Base):
    """What we sent a customer: by our dispatcher, or by whoever knows what came of it."""

    channel: Literal["outreach"]
    rule: Short | None = None
    by: Short | None = None  # webhook, e-mail, … as rules name channels
    decision: Short | None = None


Touchpoint = Annotated[
    WebTouchpoint
    | AppTouchpoint
    | PackagingTouchpoint
    | CallCenterTouchpoint
    | SurveyTouchpoint
    | StoreTouchpoint
    | OrderTouchpoint
    | ChatTouchpoint
    | OutreachTouchpoint,
    Field(discriminator="channel"),
]
TOUCHPOINT: Final[TypeAdapter[Touchpoint]] = TypeAdapter(Touchpoint)

CHANNELS: Final = (
    *("web", "app", "packaging", "call_center", "survey", "store", "order", "chat"),
    "outreach",
)
# Inclusive (low, high) of each survey: NPS (Reichheld 2003), CSAT, CES 2.0 (CEB 2013).
SURVEY_SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
_COMMON: Final = frozenset(_Base.model_fields) | {"channel"}
# channel -> its own typed fields, in declaration order
CHANNEL_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "web": tuple(n for n in WebTouchpoint.model_fields if n not in _COMMON),
    "app": tuple(n for n in AppTouchpoint.model_fields if n not in _COMMON),
    "packaging": tuple(n for n in PackagingTouchpoint.model_fields if n not in _COMMON),
    "call_center": tuple(n for n in CallCenterTouchpoint.model_fields if n not in _COMMON),
    "survey": tuple(n for n in SurveyTouchpoint.model_fields if n not in _COMMON),
    "store": tuple(n for n in StoreTouchpoint.model_fields if n not in _COMMON),
    "order": tuple(n for n in OrderTouchpoint.model_fields if n not in _COMMON),
    "chat": tuple(n for n in ChatTouchpoint.model_fields if n not in _COMMON),
    "outreach": tuple(n for n in OutreachTouchpoint.model_fields if n not in _COMMON),
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one touchpoint on the wire."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Touchpoint",
        **TOUCHPOINT.json_schema(),
    }
