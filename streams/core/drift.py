"""Live state against the ledger's truth: both sorted by name, read side by side, one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from schemas.state import AnchorState, Mark, Part
from streams.core.stitch import counted

T = TypeVar("T")


class Difference(NamedTuple, Generic[T]):
    """A name on which the two sides disagree; None where a side does not know it."""

    name: str
    ledger: T | None
    stored: T | None


class Placed(NamedTuple):
    """An anchor's part and the customer it counts for."""

    customer: str
    part: Part


class Counts(NamedTuple):
    """How much a customer's health was evaluated on."""

    anchors: int
    touchpoints: int


def differences(
    ledger: Iterable[tuple[str, T]], stored: Iterable[tuple[str, T]]
) -> Iterator[Difference[T]]:
    """Where two sides differ, each sorted by name with every name once.

    Both sides are read to their ends; one item of each is held.
    """
    ours, theirs = iter(ledger), iter(stored)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None
            yield Difference(one[0], one[1], None)
            one = next(ours, None)
        elif one is None or other[0] < one[0]:
            yield Difference(other[0], None, other[1])
            other = next(theirs, None)
        else:
            if one[1] != other[1]:
                yield Difference(one[0], one[1], other[1])
            one, other = next(ours, None), next(theirs, None)


class Contacts(NamedTuple):
    """How many customers an account's health was rolled up from."""

    customers: int


class Tally:
    """What the ledger says the health of customers and accounts should have been evaluated on.

    `evaluated` has the moment (epoch ms) of each customer's last evaluation; others count in whole.
    """

    def __init__(self, evaluated: Mapping[str, int]) -> None:
        self.touchpoints = 0
        self.customers: dict[str, Counts] = {}
        self._evaluated = evaluated
        self._accounts: dict[str, Mark] = {}

    def placed(self, anchors: Iterable[tuple[str, AnchorState]]) -> Iterator[tuple[str, Placed]]:
        """Pass the anchors' parts on, each with its customer, and count them."""
        for anchor, state in anchors:
            customer, part = state.customer or anchor, state.part
            known = self.customers.get(customer, _NOTHING)
            as_of_ms = self._evaluated.get(customer, part.last_ms)
            self.customers[customer] = Counts(
                known.anchors + 1, known.touchpoints + counted(part, as_of_ms)
            )
            self.touchpoints += part.n
            mark = part.latest.get("account")
            if mark is not None:
                self._accounts[customer] = max(mark, self._accounts.get(customer, mark))
            yield anchor, Placed(customer, part)

    def accounts(self) -> dict[str, Contacts]:
        """The contacts of every account that has some, of those passed on."""
        counts = Counter(mark.value for mark in self._accounts.values())
        return {account: Contacts(count) for account, count in counts.items()}

    def contacts_of(self, accounts: Iterable[str]) -> dict[str, list[str]]:
        """The customers of some accounts."""
        found: dict[str, list[str]] = {account: [] for account in accounts}
        for customer, mark in self._accounts.items():
            if mark.value in found:
                found[mark.value].append(customer)
        return found


_NOTHING: Final = Counts(0, 0)


def told(value: object, other: object) -> str:
    """One side of a difference in words, of which `other` is the other side."""
    if value is None:
        return "nothing"
    if isinstance(value, Counts):
        return f"{value.touchpoints:,} touchpoints of {value.anchors:,} identifiers"
    if isinstance(value, Contacts):
        return f"{value.customers:,} contacts"
    if not isinstance(value, Placed):
        return str(value)
    said = f"{value.part.n:,} touchpoints of {value.customer}"
    if isinstance(other, Placed):
        ours, theirs = (msgspec.structs.asdict(side.part) for side in (value, other))
        fields = [name for name in ours if ours[name] != theirs[name] and name != "n"]
        said += f", differs in {', '.join(fields)}" if fields else ""
    return said
