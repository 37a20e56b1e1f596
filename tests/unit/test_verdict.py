"""Which answers are final, which are the endpoint's fault, and when to try again."""

from __future__ import annotations

import pytest

from schemas.outcome import Status
from sinks.dispatch.verdict import Verdict, delay_of, of_http, of_smtp

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z


@pytest.mark.parametrize(
    ("status", "becomes", "healthy"),
    [
        (200, Status.SENT, True),
        (202, Status.SENT, True),
        (204, Status.SENT, True),
        (301, Status.WAITING, False),
        (307, Status.WAITING, False),
        (400, Status.REFUSED, True),
        (401, Status.WAITING, False),
        (403, Status.WAITING, False),
        (404, Status.WAITING, False),
        (405, Status.WAITING, False),
        (408, Status.WAITING, False),
        (409, Status.WAITING, True),
        (410, Status.REFUSED, True),
        (413, Status.REFUSED, True),
        (422, Status.REFUSED, True),
        (425, Status.WAITING, True),
        (429, Status.WAITING, True),
        (500, Status.WAITING, False),
        (502, Status.WAITING, False),
        (503, Status.WAITING, False),
        (599, Status.WAITING, False),
    ],
)
def test_what_a_status_means(status: int, becomes: Status, healthy: bool) -> None:
    assert of_http(status, None, NOON) == Verdict(becomes, str(status), healthy)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        (" 120 ", 120),
        ("-1", 0),
        ("1.5", 0),
        ("soon", 0),
        ("9" * 40, 86_400),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 11:59:00 GMT", 0),
        ("Sunday, 22-Nov-26 12:00:10 GMT", 10),
        ("Sun, 22 Nov 2030 12:00:30 GMT", 86_400),
        ("٧", 0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str | None, seconds: float) -> None:
    assert delay_of(header, NOON) == seconds
    assert of_http(503, header, NOON).retry_after == seconds


def test_smtp_replies_of_4xx_are_tried_again_and_5xx_are_final() -> None:
    assert of_smtp(450, "RCPT") == Verdict(Status.WAITING, "450 to RCPT")
    assert of_smtp(550, "RCPT") == Verdict(Status.REFUSED, "550 to RCPT")
