"""Identifiers in one form, and what identifies nobody."""

from __future__ import annotations

import pytest

from streams.core.identifiers import PRECEDENCE, anchor_of, normalise, strength

KEY = b"key"


def norm(kind: str, value: str, region: str = "IR") -> str:
    return normalise(kind, value, KEY, region)


@pytest.mark.parametrize(
    "typed",
    [
        "09121112233",
        "0098 912 111 2233",
        "+98 (912) 111-2233",
        "989121112233",
        "۰۹۱۲۱۱۱۲۲۳۳",
        "٠٩١٢١١١٢٢٣٣",
        " 0912 111 22 33 ",
    ],
)
def test_one_iranian_number_however_typed(typed: str) -> None:
    assert norm("phone", typed) == norm("phone", "+989121112233")


def test_a_phone_without_country_code_belongs_to_the_region() -> None:
    assert norm("phone", "(212) 555-0123", "US") == norm("phone", "+12125550123", "IR")
    assert norm("phone", "2125550123", "US") != norm("phone", "2125550123", "IR")


def test_a_phone_that_cannot_be_parsed_still_compares() -> None:
    assert norm("phone", "ext. 7") == norm("phone", "7 ext.") != norm("phone", "8 ext.")


def test_raw_mails_and_phones_are_nowhere_in_what_comes_out() -> None:
    assert norm("email", "Sara@Example.com") == norm("email", " sara@example.COM")
    assert "sara" not in norm("email", "sara@example.com")
    assert "912" not in norm("phone", "09121112233").partition("h-")[0]
    assert normalise("email", "a@b.c", b"one", "IR") != normalise("email", "a@b.c", b"two", "IR")


def test_serials_and_orders_compare_without_case() -> None:
    assert norm("serial", " sn-19x ") == "serial:SN-19X"
    assert norm("order", "ord-7") == "order:ORD-7"
    assert norm("cookie", "aBc") == "cookie:aBc"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *((kind, value) for kind in PRECEDENCE for value in ("NULL", " none ", "n/a", "-", "0000")),
        *(("customer", value) for value in ("anonymous", "undefined", "test", "[object Object]")),
        *(("cookie", value) for value in ("null", "ناشناس", "'unknown'", "۰۰۰")),
        *(("email", value) for value in ("test@shop.ir", "No-Reply@x.com", "noreply+7@x.com")),
        *(("phone", value) for value in ("0", "00000000000", "09999999999", "+98 999 999 9999")),
        *(("phone", value) for value in ("123456789", "۱۲۳۴۵۶", "11111", "+1 111 111 1111")),
        ("device", "00000000-0000-0000-0000-000000000000"),
        ("serial", "99999"),
    ],
)
def test_values_that_name_nobody_are_denied(kind: str, value: str) -> None:
    assert norm(kind, value) == f"{kind}:denied"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("customer", "7"),
        ("customer", "11111"),  # customers are often numbered
        ("order", "123456"),
        ("serial", "SN-00001"),
        ("email", "testa@shop.ir"),
        ("email", "nullah@shop.ir"),
        ("phone", "09121112233"),
        ("phone", "+982188888888"),
        ("cookie", "0a0"),
    ],
)
def test_values_that_merely_look_odd_are_kept(kind: str, value: str) -> None:
    assert norm(kind, value) != f"{kind}:denied"


def test_our_own_numbers_are_denied_however_typed() -> None:
    own = frozenset({norm("phone", "021-8888 0000")})
    assert normalise("phone", "+982188880000", KEY, "IR", own) == "phone:denied"
    hashed = norm("phone", "02188880000").partition(":")[2]
    assert normalise("phone", hashed, KEY, "IR", own) == "phone:denied"
    assert normalise("phone", "02188880001", KEY, "IR", own) != "phone:denied"


def test_the_strongest_usable_identifier_anchors() -> None:
    names = ["cookie:k", "order:O", "phone:denied", "device:d"]
    assert anchor_of(names) == "order:O"
    assert anchor_of(["device:b", "device:a"]) == "device:a"
    assert anchor_of(["cookie:denied", "customer:denied"], "e-1") == "event:e-1"
    assert sorted(["event:e", "cookie:k", "customer:c"], key=strength)[-1] == "event:e"
