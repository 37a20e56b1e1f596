"""Two sorted sides compared, and a difference told in words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.state import AnchorState, Mark, Part
from streams.core.drift import Contacts, Counts, Difference, Placed, Tally, differences, told

sides = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 2))


@given(ledger=sides, stored=sides)
def test_differences_are_those_of_the_dictionaries(
    ledger: dict[str, int], stored: dict[str, int]
) -> None:
    found = list(differences(sorted(ledger.items()), sorted(stored.items())))
    assert found == [
        Difference(name, ledger.get(name), stored.get(name))
        for name in sorted(ledger.keys() | stored.keys())
        if ledger.get(name) != stored.get(name)
    ]


def test_names_are_in_the_order_of_their_bytes_as_the_database_has_them() -> None:
    names = ["cookie:A", "cookie:a", "cookie:ÿ", "cookie:گل", "cookie:\uffff", "cookie:😀"]
    assert sorted(names) == sorted(names, key=str.encode)


def test_a_customer_is_tallied_up_to_the_day_it_was_evaluated() -> None:
    day = 86_400_000
    early = Part(n=2, visits={0: 2}, first_ms=1, last_ms=2)
    late = Part(n=3, visits={0: 1, 5: 2}, first_ms=3, last_ms=5 * day)
    anchors = [("cookie:a", AnchorState(early, "email:h")), ("email:h", AnchorState(late))]
    tally = Tally({"email:h": 4 * day})
    assert list(tally.placed(anchors)) == [
        ("cookie:a", Placed("email:h", early)),
        ("email:h", Placed("email:h", late)),
    ]
    assert tally.customers == {"email:h": Counts(2, 3)}
    assert tally.touchpoints == 5
    whole = Tally({})
    list(whole.placed(anchors))
    assert whole.customers == {"email:h": Counts(2, 5)}


def test_a_customer_counts_for_the_account_it_named_last() -> None:
    def naming(account: str, at_ms: int) -> Part:
        return Part(n=1, latest={"account": Mark(at_ms, "e", account)})

    anchors = [
        ("cookie:a", AnchorState(naming("B2B-2", 2), "email:h")),
        ("cookie:b", AnchorState(Part(n=1))),
        ("cookie:c", AnchorState(naming("B2B-2", 1))),
        ("email:h", AnchorState(naming("B2B-1", 1))),
    ]
    tally = Tally({})
    list(tally.placed(anchors))
    assert tally.accounts() == {"B2B-2": Contacts(2)}
    assert tally.contacts_of(["B2B-2", "B2B-1"]) == {"B2B-2": ["email:h", "cookie:c"], "B2B-1": []}


def test_a_difference_is_told_so_that_one_sees_where_to_look() -> None:
    one = Placed("email:h", Part(n=1, last_ms=5))
    other = Placed("email:h", Part(n=1, last_ms=6))
    assert told(one, other) == "1 touchpoints of email:h, differs in last_ms"
    assert told(one, None) == "1 touchpoints of email:h"
    assert told(None, one) == "nothing"
    assert told("email:h", None) == "email:h"
    assert told(Contacts(2), None) == "2 contacts"
    assert told(Counts(2, 3), None) == "3 touchpoints of 2 identifiers"
