"""A little of `make fuzz` at every run of the tests, and what it relies on."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest

from schemas.decode import Rejection, decode
from tests.fuzz import in_process, records
from tests.fuzz.contract import judge
from tests.fuzz.records import KINDS, NEIGHBOUR, NOW, samples


def test_every_record_is_treated_as_it_has_to_be() -> None:
    account, _ = in_process.run(samples(seed=3, count=4_000))
    assert account.wrong == []
    assert set(account.sent) == {NEIGHBOUR, *KINDS}
    assert set().union(*account.rejected.values()) == records.ANY


def test_the_same_seed_gives_the_same_records() -> None:
    assert list(samples(4, 500)) == list(samples(4, 500))
    assert list(samples(4, 500)) != list(samples(5, 500))


def test_both_contracts_say_the_same_of_what_is_made_to_be_valid_or_not() -> None:
    found = Counter((judge(s.raw or b"", NOW), not s.reasons) for s in samples(6, 3_000))
    assert found[False, True] == found[True, False] == 0
    assert found[True, True] > 1_000
    assert found[False, False] > 1_000


def test_a_record_treated_wrongly_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    (neighbour,) = samples(7, 1, neighbours=1.0)
    valid = decode(neighbour.raw or b"", NOW)

    def lenient(raw: bytes, now: datetime) -> object:
        found = decode(raw, now)
        return valid if isinstance(found, Rejection) else found

    monkeypatch.setattr("streams.agents.resolve.decode", lenient)
    account, _ = in_process.run(samples(8, 300))
    assert account.wrong
