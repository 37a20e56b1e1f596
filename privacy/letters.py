"""Whether a rejected record names a person: its bytes were never normalised, nor perhaps JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from streams.core.identifiers import PRECEDENCE, normalise

# Bounded, so that a letter made to be slow is not.
_EMAIL: Final = re.compile(r"[^\s\"'<>,;:()\[\]{}\\]{1,64}@[^\s\"'<>,;:()\[\]{}\\]{1,255}")
_PHONE: Final = re.compile(r"[+＋]?[\d۰-۹٠-٩][\d۰-۹٠-٩ ()\-]{5,20}[\d۰-۹٠-٩]")
_HASH: Final = re.compile(r"h-[0-9a-f]{32}")
# `{"kind": "cookie", "value": "…"}` of a record that is not JSON, in either order
_NAMED: Final = re.compile(
    r'"kind"\s*:\s*"(?P<kind>\w+)"\s*,\s*"value"\s*:\s*"(?P<value>[^"]*)"'
    r'|"value"\s*:\s*"(?P<value2>[^"]*)"\s*,\s*"kind"\s*:\s*"(?P<kind2>\w+)"'
)
_PIECES: Final = re.compile(r'["\\]'), re.compile(r"[\s\"',;:=|<>(){}\[\]\\]+")
_TELLING: Final = 6  # characters of a value that names somebody wherever it stands


def names(raw: bytes, identifiers: Collection[str], key: bytes, region: str) -> bool:
    """Whether a record has one of the identifiers, hashed or as typed.

    E-mails and phones are looked for in all of its text; other kinds as an identifier with its
    kind, or as a whole string of six characters or more.
    """
    text = raw.decode("utf-8", "replace")
    return any(found in identifiers for found in _identifiers(text, key, region)) or any(
        i.partition(":")[2] in strings
        for strings in [set(_strings(text))]
        for i in identifiers
        if len(i.partition(":")[2]) >= _TELLING
    )


def _identifiers(text: str, key: bytes, region: str) -> Iterator[str]:
    strings = "\n".join(_strings(text))  # what JSON escapes is found too
    for place in (text, strings) if strings else (text,):
        for email in _EMAIL.findall(place):
            yield normalise("email", email.strip("."), key, region)
        for phone in _PHONE.findall(place):
            yield normalise("phone", phone, key, region)
        for hashed in _HASH.findall(place):
            yield f"email:{hashed}"
            yield f"phone:{hashed}"
    for match in _NAMED.finditer(text):
        kind = match["kind"] or match["kind2"]
        if kind in PRECEDENCE:
            yield normalise(kind, match["value"] or match["value2"] or "", key, region)


def _strings(text: str) -> Iterator[str]:
    try:
        yield from _walk(json.loads(text))
    except (ValueError, RecursionError):
        for between in _PIECES:
            yield from between.split(text)


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each)
    elif value is not None:
        yield str(value)
