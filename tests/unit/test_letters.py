"""Dead letters name people as they typed it, in any shape."""

from __future__ import annotations

import json

import pytest

from privacy.letters import names
from streams.core.identifiers import normalise

KEY, REGION = b"key", "IR"


def identifier(kind: str, value: str) -> str:
    return normalise(kind, value, KEY, REGION)


HERS = {
    identifier("email", "nasrin@kaveh.ir"),
    identifier("phone", "09127718224"),
    identifier("customer", "nasrin-7718"),
    identifier("cookie", "c-1"),
}
HASH = identifier("email", "nasrin@kaveh.ir").partition(":")[2]


@pytest.mark.parametrize(
    "raw",
    [
        '{"identifiers": [{"kind": "email", "value": "Nasrin@Kaveh.ir "}]}',
        '{"contact": {"mail": "nasrin@kaveh.ir"}}',
        '{"text": "write to nasrin@kaveh.ir, please"}',
        '{"text": "زنگ بزنید: ۰۹۱۲ ۷۷۱ ۸۲۲۴."}',
        '{"text": "+98 (912) 771-8224"}',
        r'{"text": "\u06f0\u06f9\u06f1\u06f2\u06f7\u06f7\u06f1\u06f8\u06f2\u06f2\u06f4"}',
        '{"identifiers": [{"kind": "cookie", "value": "c-1"}]',
        '{"identifiers": [{"value": "c-1", "kind": "cookie"}],',
        '{"id": "nasrin-7718"}',
        '{"broken": "nasrin-7718',
        f'{{"identifiers": [{{"kind": "email", "value": "{HASH}"}}]}}',
        "nasrin@kaveh.ir;page_view",
    ],
)
def test_a_letter_names_her(raw: str) -> None:
    assert names(raw.encode(), HERS, KEY, REGION)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "\xff\xfe",
        "[" * 100_000,
        "a" * 262_144,
        '"' + '\\"' * 131_072,
        '{"kind":' * 32_768,
        '{"identifiers": [{"kind": "email", "value": "behrouz@kaveh.ir"}]}',
        '{"text": "09127718225"}',
        '{"grade": "c-1"}',  # too short to be hers without its kind
        '{"identifiers": [{"kind": "device", "value": "c-1"}]}',
        '{"id": "nasrin-77180"}',
        '{"event_id": "09127718-2240-4e43-9d63-5b8f5f3c8a11", "wait": 9127718}',
    ],
)
def test_a_letter_of_others_does_not(raw: str) -> None:
    assert not names(raw.encode(), HERS, KEY, REGION)


def test_a_deep_letter_is_read_as_text() -> None:
    raw = json.dumps({"a": "nasrin@kaveh.ir"})
    assert names(("[" * 100_000 + raw).encode(), HERS, KEY, REGION)
