"""Text of strangers on a terminal: shown, and nothing in it acts."""

from __future__ import annotations

import json
import re
from typing import Any, Final

# Control characters, what reorders or hides text, and halves of a pair. The joiners of Persian
# (U+200C, U+200D) stay: they are ordinary letters' business there.
_ACTING: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def plain(text: str) -> str:
    """One line in which control characters, bidirectional overrides and the like are escapes."""
    return _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain_bytes(raw: bytes) -> str:
    """The same for bytes; those that are no UTF-8 are escapes too."""
    return plain(raw.decode("utf-8", "backslashreplace"))


def plain_json(value: Any) -> str:
    """One JSON document on a line, which reads back as the same value."""
    return _ACTING.sub(_escaped, json.dumps(value, ensure_ascii=False, default=str))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1] if found[0] != "\x7f" else "\\u007f"
