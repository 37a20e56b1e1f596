"""Cost of identity: microseconds per link, memory, share of a touchpoint's time, worst cases.

python -m bench.identity [customers]
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterable
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile
from time import perf_counter
from uuid import UUID

import msgspec

from schemas.decode import Rejection, decode
from schemas.outcome import Link
from schemas.state import AnchorState
from streams.agents.identity import decode_link
from streams.agents.resolve import now_utc
from streams.core.guards import FAN_OUT
from streams.core.identity import Identities
from streams.core.resolve import count, links_of, step_of

SEED = 20261122


def main(customers: int = 150_000) -> None:
    _memory_and_speed(customers)
    _share_of_a_touchpoint()
    print("worst cases, one link each:")
    for what, build in WORST.items():
        before, last = build()
        identities = Identities()
        identities.learn(before)
        started = perf_counter()
        changed = identities.learn([last])
        print(f"  {what}: {(perf_counter() - started) * 1e3:.1f} ms, {len(changed):,} change")


def world(customers: int, rng: Random) -> list[Link]:
    """Customers with a mail, a phone, three cookies, a device and two orders; some share one."""
    links = []
    for n in range(customers):
        me = f"customer:C-{n:07d}"
        home = n - 1 if n % 25 == 1 else n  # every 25th uses the device of the one before
        others = [
            f"email:h-{rng.getrandbits(128):032x}",
            f"phone:h-{n - 1 if n % 50 == 3 else n:032x}",
            *(f"cookie:{rng.getrandbits(64):016x}" for _ in range(3)),
            f"device:dev-{home:07d}",
            *(f"order:O-{n:07d}-{k}" for k in range(2)),
        ]
        links += [_link(me, other, rng) for other in others]
    rng.shuffle(links)
    return links


def _link(a: str, b: str, rng: Random) -> Link:
    event = str(UUID(int=rng.getrandbits(128)))
    return Link(min(a, b), max(a, b), event, 1_790_000_000_000 + rng.getrandbits(30), "web")


def _memory_and_speed(customers: int) -> None:
    with NamedTemporaryFile(suffix=".jsonl") as file:
        # Another process makes the links, so that their memory is not mistaken for ours.
        maker = get_context("spawn").Process(target=_write_world, args=(customers, file.name))
        maker.start()
        maker.join()
        before = resident()
        identities = Identities()
        learning = 0.0
        count_ = 0
        while raws := list(islice(file, 1000)):
            chunk = [decode_link(raw) for raw in raws]
            started = perf_counter()
            identities.learn(chunk)
            learning += perf_counter() - started
            count_ += len(chunk)
        used = resident() - before
        names = identities.links.known()
        print(f"{count_:,} links of {customers:,} customers, {names:,} identifiers, shuffled")
        print(f"learn: {1e6 * learning / count_:.2f} µs per link")
        print(f"memory: {used / names:.0f} bytes per identifier, or MB per million of them")
        print(f"conflicts: {len(identities.conflicts()):,}")
        file.seek(0)
        known = [decode_link(raw) for raw in islice(file, 100_000)]
        again = timed(lambda: identities.learn(known))
        print(f"known links again: {1e6 * again / len(known):.2f} µs per link")


def _write_world(customers: int, path: str) -> None:
    with Path(path).open("wb") as file:
        for link in world(customers, Random(SEED)):
            file.write(msgspec.json.encode(link) + b"\n")


def _share_of_a_touchpoint(count_: int = 20_000) -> None:
    rng = Random(SEED)
    raws = []
    for n in range(count_):
        who = rng.randrange(count_ // 25)
        names = [{"kind": "cookie", "value": f"k{who}-{rng.randrange(3)}"}]
        if rng.random() < 0.6:
            names.append({"kind": "customer", "value": f"C-{who}"})
        if rng.random() < 0.2:
            names.append({"kind": "order", "value": f"O-{who}-{rng.randrange(4)}"})
        sent = {
            "event_id": str(UUID(int=rng.getrandbits(128))),
            "occurred_at": f"2026-05-{1 + n % 28:02}T10:{n % 60:02}:00Z",
            "channel": "web",
            "type": "page_view",
            "identifiers": names,
        }
        if rng.random() < 0.25:
            sent |= {"text": "my order is late and nobody answers, please help"}
        raws.append(json.dumps(sent).encode())
    now = now_utc()

    def decoded() -> list[object]:
        return [decode(raw, now) for raw in raws]

    touchpoints = [t for raw in raws if not isinstance(t := decode(raw, now), Rejection)]
    steps = [step_of(touchpoint, 0, b"key", "IR") for touchpoint in touchpoints]
    states: dict[str, AnchorState] = {step.anchor: AnchorState() for step in steps}
    links = [link for step in steps for link in links_of(states[step.anchor], step)]
    fresh: dict[str, AnchorState] = {step.anchor: AnchorState() for step in steps}

    costs = {
        "decode": timed(decoded),
        "normalise, score": timed(lambda: [step_of(t, 0, b"key", "IR") for t in touchpoints]),
        "count": timed(lambda: [count(states[s.anchor], s, n) for n, s in enumerate(steps)]),
        "find links": timed(lambda: [links_of(fresh[s.anchor], s) for s in steps]),
        "learn links": timed(lambda: Identities().learn(links)),
    }
    whole = sum(costs.values())
    print(f"one of {count_:,} touchpoints, {len(links) / count_:.2f} links each:")
    for what, seconds in costs.items():
        print(f"  {what}: {seconds / count_ * 1e6:.2f} µs, {100 * seconds / whole:.0f} %")


def _over_the_cap() -> tuple[list[Link], Link]:
    """A tablet seen with as many mails as allowed, each with its own circle; then one more."""
    rng = Random(SEED)
    cap = FAN_OUT["device"]
    links = [_link("device:d", f"email:{n}", rng) for n in range(cap)]
    links += [_link(f"email:{n}", f"cookie:{n}-{k}", rng) for n in range(cap) for k in range(50)]
    return links, _link("device:d", "email:one more", rng)


def _disputed() -> tuple[list[Link], Link]:
    """A phone seen with as many customers as allowed; then one who had it before them all."""
    rng = Random(SEED)
    cap = FAN_OUT["phone"] - 1
    links = [_link("phone:p", f"customer:{n}", rng) for n in range(cap)]
    links += [_link(f"customer:{n}", f"cookie:{n}-{k}", rng) for n in range(cap) for k in range(5)]
    return links, Link("customer:first", "phone:p", "", 0, "web")


def _merged() -> tuple[list[Link], Link]:
    """A mail with as many cookies as allowed turns out to be a customer's."""
    rng = Random(SEED)
    links = [_link("email:m", f"cookie:{n}", rng) for n in range(FAN_OUT["email"] - 1)]
    return links, _link("email:m", "customer:c", rng)


def _robot() -> tuple[list[Link], Link]:
    """A customer id used by a robot with ever new cookies, one past the cap."""
    rng = Random(SEED)
    links = [_link("customer:c", f"cookie:{n}", rng) for n in range(FAN_OUT["customer"])]
    return links, _link("customer:c", "cookie:one more", rng)


WORST: dict[str, Callable[[], tuple[list[Link], Link]]] = {
    "a device over its cap, 5,100 identifiers": _over_the_cap,
    "a phone of 999 customers changes hands, 6,000 identifiers": _disputed,
    "999 cookies take their customer's name": _merged,
    "a customer over its cap of 10,000 cookies": _robot,
}


def timed(work: Callable[[], Iterable[object]]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def resident() -> int:
    """Bytes of memory the process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
