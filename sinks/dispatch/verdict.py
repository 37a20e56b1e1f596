"""What an answer means: which are final, and when to try again."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from schemas.outcome import Status

# An endpoint that answers these is to be mended, or busy; a mended one would take the decision.
# 3xx: a redirect is not followed, since personal data goes where the file says and nowhere else.
_AGAIN: Final = frozenset({401, 403, 404, 405, 407, 408, 409, 421, 423, 425, 429})
# The endpoint works, and asks to be asked later.
_BUSY: Final = frozenset({409, 423, 425, 429})


class Verdict(NamedTuple):
    """What became of an attempt. WAITING means that another follows.

    `healthy` says whether the endpoint works, whatever it made of this decision; `retry_after` for
    how many seconds it asks to be left alone.
    """

    status: Status
    detail: str = ""
    healthy: bool = True
    retry_after: float = 0.0


def of_http(status: int, retry_after: str | None, now: float) -> Verdict:
    """The verdict of an HTTP status and its Retry-After header; `now` is in epoch seconds.

    2xx is taken. 4xx is final, but for those that say something of the endpoint and not of the
    decision. Everything else is tried again.
    """
    if 200 <= status < 300:
        return Verdict(Status.SENT, str(status))
    if 400 <= status < 500 and status not in _AGAIN:
        return Verdict(Status.REFUSED, str(status))
    return Verdict(Status.WAITING, str(status), status in _BUSY, delay_of(retry_after, now))


def of_smtp(code: int, doing: str) -> Verdict:
    """The verdict of an SMTP reply other than 2xx to one recipient or message.

    4xx is transient (RFC 5321, 4.2.1), such as greylisting; 5xx is final.
    """
    status = Status.WAITING if 400 <= code < 500 else Status.REFUSED
    return Verdict(status, f"{code} to {doing}")


def delay_of(retry_after: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3); 0 where it is none."""
    given = (retry_after or "").strip()
    if given.isascii() and given.isdigit():
        return float(min(int(given[:9]), 86_400))
    try:
        moment = parsedate_to_datetime(given)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds()), 86_400.0)
