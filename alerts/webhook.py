"""What Alertmanager's webhook sends (version 4): read, or refused with the field named."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from streams.core.alerts import Alert
from streams.core.resolve import to_ms

_NAME: Final = "alertname"


class WebhookError(Exception):
    """The body is not what Alertmanager sends; the message names the field."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # later versions may say more


class _Alert(_Strict):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    began: Annotated[AwareDatetime, Field(alias="startsAt")]
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,64}$")]


class _Webhook(_Strict):
    version: Literal["4"]
    alerts: Annotated[list[_Alert], Field(max_length=1_000)]


def firing(body: bytes) -> list[Alert]:
    """The alerts of a webhook that fire, in its order; those resolved ask nothing of us.

    Raises WebhookError.
    """
    try:
        found = _Webhook.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"])
        what = "is missing" if first["type"] == "missing" else first["msg"]
        raise WebhookError(f"{where.lstrip('.') or 'body'}: {what}") from None
    for n, one in enumerate(found.alerts):
        if _NAME not in one.labels:
            raise WebhookError(f"alerts[{n}].labels.{_NAME}: is missing")
    return [
        Alert(one.labels[_NAME], one.fingerprint, to_ms(one.began), one.labels)
        for one in found.alerts
        if one.status == "firing"
    ]
