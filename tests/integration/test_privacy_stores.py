"""Every table that the migrations make is known to hold personal data, or not to."""

from __future__ import annotations

from uuid import uuid4

import pytest

from privacy.erasure import begin, unfinished
from privacy.person import Person, counts
from privacy.stores import IMPERSONAL, STAGING, STORES, VIEWS
from sinks.clickhouse import connect, prepare
from tests.wire import NOW

pytestmark = pytest.mark.integration


def test_no_table_is_forgotten(clickhouse_url: str) -> None:
    prepare(clickhouse_url)
    client = connect(clickhouse_url)
    tables = dict(
        client.execute("SELECT name, engine FROM system.tables WHERE database = currentDatabase()")
    )
    listed = [store.table for store in STORES]
    assert sorted([*listed, STAGING, *IMPERSONAL, *VIEWS]) == sorted(tables), (
        "list the table in privacy/stores.py, or declare it impersonal"
    )
    # A materialised view has rows of its own.
    assert {tables[name] for name in VIEWS} == {"View", "Dictionary"}
    client.disconnect()


def test_no_condition_takes_anything_of_a_stranger(clickhouse_url: str) -> None:
    prepare(clickhouse_url)
    client = connect(clickhouse_url)
    nobody = Person(["customer:nobody"], ["device:none"], [], ["t:0:1:abcd"])
    assert set(counts(client, nobody).values()) == {0}
    assert unfinished(client) == []
    erasure = uuid4()
    begin(client, erasure, nobody, NOW)
    assert unfinished(client) == [(erasure, NOW)]
    client.disconnect()
