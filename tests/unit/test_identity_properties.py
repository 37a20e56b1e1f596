"""Links and entries in any order and chunks, also twice: always what the oracle says of the set."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.outcome import Action, Link
from streams.core.guards import SHARED, Guards
from streams.core.identifiers import PRECEDENCE, normalise
from streams.core.identity import Identities
from tests import oracle

NAMES = [
    *("customer:a", "customer:b", "customer:c", "email:x", "phone:x", "order:x", "serial:x"),
    *("device:x", "device:y", "cookie:x", "cookie:y", "cookie:z", "cookie:denied", "phone:own"),
]
# Small enough for the caps to be reached in a handful of links.
TIGHT = Guards({**dict.fromkeys(PRECEDENCE, 3), "customer": 4}, SHARED, frozenset({"phone:own"}))
ROOMY = Guards(denied=frozenset({"phone:own"}))


@st.composite
def links(draw: st.DrawFn, actions: tuple[Action, ...] = tuple(Action)) -> Link:
    a, b = sorted(draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True)))
    at = draw(st.integers(0, 5))
    event = draw(st.sampled_from("mnop"))
    # What was seen is told about more often than operators decide.
    action = draw(st.sampled_from([Action.SEEN] * 4 + list(actions)))
    return Link(a, b, f"{action}-{event}", at, "web", action)


def histories(most: int = 24) -> st.SearchStrategy[list[Link]]:
    sizes = st.integers(0, most)  # evenly, where lists left to themselves are short
    return sizes.flatmap(lambda size: st.lists(links(), min_size=size, max_size=size))


def learned(identities: Identities, chunks: Iterable[Iterable[Link]]) -> dict[str, str]:
    """What someone knows who only hears what `learn` announces."""
    heard: dict[str, str] = {}
    for chunk in chunks:
        heard |= identities.learn(chunk)
    return {i: customer for i, customer in heard.items() if customer != i}


def moved(truth: oracle.Truth) -> dict[str, str]:
    return {i: customer for i, customer in truth.customers.items() if customer != i}


def chunked(items: list[Link], cuts: list[int]) -> list[list[Link]]:
    edges = [0, *sorted(cut % (len(items) + 1) for cut in cuts), len(items)]
    return [items[start:end] for start, end in pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(histories(), st.sampled_from([TIGHT, ROOMY]), st.lists(st.integers(0, 99), max_size=4))
def test_what_is_announced_is_what_the_oracle_says(
    history: list[Link], guards: Guards, cuts: list[int]
) -> None:
    identities = Identities(guards)
    truth = oracle.identities(history, guards)
    assert learned(identities, chunked(history, cuts)) == moved(truth)
    found = {(c.link.a, c.link.b): {c.customer_a, c.customer_b} for c in identities.conflicts()}
    assert found == {(a, b): {truth.customers[a], truth.customers[b]} for a, b in truth.conflicts}


@settings(max_examples=200, deadline=None)
@given(st.data(), histories(16), st.sampled_from([TIGHT, ROOMY]))
def test_order_and_repetition_do_not_matter(
    data: st.DataObject, history: list[Link], guards: Guards
) -> None:
    again = data.draw(st.permutations(history + history[: len(history) // 2]))
    one, other = Identities(guards), Identities(guards)
    assert learned(one, [history]) == learned(other, [[link] for link in again])
    assert one.conflicts() == other.conflicts()


@settings(max_examples=200, deadline=None)
@given(histories(), st.sampled_from([TIGHT, ROOMY]), st.integers(0, 99), st.integers(0, 99))
def test_a_worker_that_starts_again_with_other_chunks_puts_right_what_was_told(
    history: list[Link], guards: Guards, crash: int, committed: int
) -> None:
    crash %= len(history) + 1
    committed %= crash + 1
    heard: dict[str, tuple[int, str]] = {}  # identifier -> (epoch, customer), the highest epoch

    def hear(epoch: int, changed: dict[str, str]) -> None:
        for identifier, customer in changed.items():
            if epoch > heard.get(identifier, (0, ""))[0]:
                heard[identifier] = epoch, customer

    first, second = Identities(guards), Identities(guards)
    for offset, link in enumerate(history[:crash]):
        hear(offset + 1, first.learn([link]))
    second.learn(history[:committed])
    hear(len(history), second.learn(history[committed:]))
    told = {i: customer for i, (_, customer) in heard.items() if customer != i}
    assert told == moved(oracle.identities(history, guards))


@settings(max_examples=200, deadline=None)
@given(histories(14), st.sampled_from([TIGHT, ROOMY]), links((Action.JOIN,)))
def test_withdrawing_what_was_joined_restores_both_sides(
    history: list[Link], guards: Guards, pair: Link
) -> None:
    history = [link for link in history if (link.a, link.b) != (pair.a, pair.b)]
    join = Link(pair.a, pair.b, "join", 100, "operator", Action.JOIN, "same person")
    withdraw = Link(pair.a, pair.b, "withdraw", 200, "operator", Action.WITHDRAW, "they are not")
    identities = Identities(guards)
    before = learned(identities, [history])
    conflicts = identities.conflicts()
    after = before | identities.learn([join]) | identities.learn([withdraw])
    assert {i: customer for i, customer in after.items() if customer != i} == before
    assert identities.conflicts() == conflicts


@settings(max_examples=200, deadline=None)
@given(histories(), st.sampled_from([TIGHT, ROOMY]))
def test_the_last_record_of_each_key_tells_the_whole_story(
    history: list[Link], guards: Guards
) -> None:
    identities = Identities(guards)
    identities.learn(history)
    records = [identities.links.record(key) for key in {link.key() for link in history}]
    again = Identities(guards)
    assert learned(again, [[link for link in records if link is not None]]) == moved(
        oracle.identities(history, guards)
    )
    assert again.conflicts() == identities.conflicts()


@given(st.sampled_from(list(PRECEDENCE)), st.text(min_size=1), st.sampled_from(["IR", "US"]))
def test_normalising_twice_is_normalising_once(kind: str, value: str, region: str) -> None:
    once = normalise(kind, value, b"key", region)
    assert normalise(kind, once.partition(":")[2], b"key", region) == once
