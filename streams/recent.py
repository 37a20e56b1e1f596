"""What was used lately, for not longer than it is worth the memory."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

V = TypeVar("V")
RECENT: Final = 10_000


class Recent(Generic[V]):
    """Values by key, of which those not used lately go: two generations, the older one dropped.

    Nothing goes but by `trim`, after which up to twice `size` values are left.
    """

    def __init__(self, size: int = RECENT) -> None:
        self._size = size
        self._young: dict[str, V] = {}
        self._old: dict[str, V] = {}

    def get(self, key: str) -> V | None:
        """The value, which counts as used; None where it is not held."""
        value = self._young.get(key)
        if value is None and (value := self._old.pop(key, None)) is not None:
            self._young[key] = value
        return value

    def put(self, key: str, value: V) -> V:
        """Hold a value, and return it."""
        self._young[key] = value
        return value

    def discard(self, key: str) -> None:
        """Hold a value no longer."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def trim(self) -> None:
        """Drop what was not used since the last time that enough others were."""
        if len(self._young) > self._size:
            self._young, self._old = {}, self._young
