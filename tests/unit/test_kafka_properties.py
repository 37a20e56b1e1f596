"""Broker options as Java reads them: Latin-1 files, with escapes."""

from __future__ import annotations

import re

from deploy.local.kafka import _escaped


def read(value: str) -> str:
    """What java.util.Properties makes of a value, by its documentation."""
    units = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), value)
    return units.replace("\\\\", "\\").encode("utf-16", "surrogatepass").decode("utf-16")


def test_a_folder_with_a_name_in_persian_is_what_the_broker_reads() -> None:
    for value in ("/data/سفر مشتری/log", "C:\\data", "/data/🛒", "plain"):
        assert _escaped(value).isascii()
        assert read(_escaped(value)) == value
