"""Two sides of one thing, key by key: what is lost, what is doubled, what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

K = TypeVar("K")
_SHOWN = 5


@dataclass
class Comparison:
    """`lost`: expected and not found. `doubled`: found beyond what was expected."""

    name: str
    expected: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_exact(self) -> bool:
        """Whether both sides are the same."""
        return not (self.lost or self.doubled or self.different)

    def note(self, kind: str, example: str) -> None:
        """Count a fault; the first few are kept in words."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < _SHOWN:
            self.examples.append(f"{kind}: {example}")


def compare(name: str, expected: Mapping[K, Any], found: Iterable[tuple[K, Any]]) -> Comparison:
    """Compare what was found, which may have a key twice, with what was expected."""
    result = Comparison(name, expected=len(expected))
    seen: set[K] = set()
    for key, value in found:
        result.found += 1
        if key in seen or key not in expected:
            result.note("doubled", f"{key!r}")
            continue
        seen.add(key)
        if value != expected[key]:
            result.note("different", f"{key!r}: {told(expected[key], value)}")
    for key in expected.keys() - seen:
        result.note("lost", f"{key!r}")
    return result


def told(expected: Any, found: Any) -> str:
    """Where two values differ, shortly: by field where they have some."""
    names = getattr(expected, "__struct_fields__", None)
    if names and type(expected) is type(found):
        pairs = [(n, getattr(expected, n), getattr(found, n)) for n in names]
    elif isinstance(expected, tuple) and isinstance(found, tuple):
        pairs = [(str(n), *both) for n, both in enumerate(zip(expected, found, strict=False))]
    else:
        pairs = [("", expected, found)]
    return "; ".join(
        f"{name} {told(one, other)}" if name else f"{one!r:.120} is {other!r:.120}"
        for name, one, other in pairs
        if one != other
    )
