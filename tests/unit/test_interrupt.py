"""Ctrl-C while a client connects: its event loop may swallow the interrupt."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import pytest

from commands import local


def test_an_interrupt_that_is_lost_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_INSIST_SECONDS", 0.01)
    before = signal.signal(signal.SIGALRM, local._insist)
    try:
        with suppress(KeyboardInterrupt):
            local._insist()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(30)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
