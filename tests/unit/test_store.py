"""A store on disk is what a store in memory is; and when one cannot be used."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.cluster import Incarnation
from streams.recovery import Recovery, StateInUse
from streams.store import (
    SCRUB_SECONDS,
    Checkpoint,
    DiskStore,
    MemoryStore,
    Released,
    Store,
    StoreFailed,
)
from tests.disk_search import find

TOPIC, NOW_MS, DAY_MS = "anchors", time.time_ns() // 1_000_000, 86_400_000
KEYS = [f"{a}\0{b}".encode() for a in ("customer:1", "customer:10", "cookie:é") for b in "xyz"]
KEYS += [b"customer:1", b"device:d", b"customer:1\1"]


def everything(store: Store) -> dict[str, Any]:
    return {
        "items": dict(zip(store.keys(), store.values(), strict=True)),
        "values": sorted(store.values()),
        "prefixes": sorted(p for p in store.prefixes() if store.under(p)),
        "under": {p: sorted(store.under(p)) for p in store.prefixes() if store.under(p)},
        "checkpoint": store.checkpoint,
    }


def test_the_disk_holds_what_memory_holds_also_when_opened_again(tmp_path: Path) -> None:
    chance, memory, disk = Random(1), MemoryStore(), DiskStore(tmp_path / "store")
    for number in range(60):
        changes = {
            key: chance.choice([None, b"%d" % number, b"x" * 5_000])
            for key in chance.sample(KEYS, 4)
        }
        checkpoint = Checkpoint(number, "a cluster", NOW_MS, ["cookie:é"] if number % 2 else [])
        for store in (memory, disk):
            store.write(changes, checkpoint)
        assert everything(disk) == everything(memory)
        if number % 20 == 10:
            disk.close()
            disk = DiskStore(tmp_path / "store")
            assert everything(disk) == everything(memory)
    for store in (memory, disk):
        store.clear()
        assert everything(store)["items"] == {}
        assert store.checkpoint is None
    disk.close()


def test_more_than_a_page_is_read_to_its_end(tmp_path: Path) -> None:
    disk = DiskStore(tmp_path / "store")
    keys = [b"customer:%05d\0%d" % (n // 2, n % 2) for n in range(5_000)]
    disk.write(dict.fromkeys(keys, b""), Checkpoint(1))
    assert list(disk.keys()) == keys
    assert len(list(disk.prefixes())) == 2_500
    disk.close()


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_store_that_was_let_go_of_says_so(tmp_path: Path, on_disk: bool) -> None:
    store: Store = DiskStore(tmp_path / "store") if on_disk else MemoryStore()
    store.write({b"a\0b": b"c"}, Checkpoint(1))
    store.close()
    store.close()
    for use in (
        lambda: store.get(b"a\0b"),
        lambda: store.under(b"a"),
        lambda: list(store.prefixes()),
        lambda: list(store.values()),
        lambda: store.write({}, Checkpoint(2)),
        store.clear,
    ):
        with pytest.raises(Released):
            use()


def test_what_is_corrupt_on_disk_is_refused_and_when_it_is_read_removed(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = DiskStore(folder)
    store.write({b"k%d" % n: b"v" * 900 for n in range(20_000)}, Checkpoint(1))
    store.close()
    shutil.copytree(folder, tmp_path / "another")
    (folder / "CURRENT").write_text("nonsense")
    with pytest.raises(StoreFailed, match=str(folder)):
        DiskStore(folder)
    table = max((tmp_path / "another").glob("*.sst"))
    with table.open("r+b") as file:
        file.seek(table.stat().st_size // 2)
        file.write(b"nonsense" * 1_000)
    store = DiskStore(tmp_path / "another")
    with pytest.raises(StoreFailed, match=r"Corruption.*\(JOURNEY_STATE\)"):
        list(store.values())
    assert not (tmp_path / "another").exists()


async def no_consumer() -> None:
    raise AssertionError


def recovery(folder: Path | None) -> Recovery:
    found = Recovery(folder, no_consumer, no_consumer)  # type: ignore[arg-type]
    found.incarnations = {TOPIC: Incarnation("this", DAY_MS)}
    return found


@pytest.mark.parametrize(
    ("checkpoint", "kept"),
    [
        (Checkpoint(10, "this", NOW_MS), True),
        (Checkpoint(10, "this", NOW_MS - DAY_MS + 3_600_000), True),
        (Checkpoint(11, "this", NOW_MS), False),
        (Checkpoint(10, "that", NOW_MS), False),
        (Checkpoint(10, "this", NOW_MS - DAY_MS - 1), False),
    ],
)
def test_a_store_that_does_not_fit_its_topic_is_emptied(checkpoint: Checkpoint, kept: bool) -> None:
    store = MemoryStore()
    store.write({b"k": b"v"}, checkpoint)
    recovery(None).check(store, TOPIC, 0, end=10)
    assert (store.get(b"k") == b"v") == (store.checkpoint == checkpoint) == kept


def test_a_partition_has_one_holder_at_a_time(tmp_path: Path) -> None:
    stores = recovery(tmp_path)
    stores.start()
    following = stores.spare(TOPIC, 0)
    assert following is not None
    following.write({b"k": b"v"}, Checkpoint(1))
    owned = stores.claim(TOPIC, 0)
    assert following.closed
    assert owned.get(b"k") == b"v"
    assert stores.spare(TOPIC, 0) is None
    owned.close()
    again = stores.spare(TOPIC, 0)
    assert again is not None
    assert again.get(b"k") == b"v"
    with pytest.raises(StateInUse, match=r"another worker's.*JOURNEY_STATE"):
        recovery(tmp_path).start()
    stores.stop()
    recovery(tmp_path).start()


NAMES = [b"nasrin-7718", "گورخر‌فانوس".encode(), b"lighthouse"]


def write_a_person(store: DiskStore, number: int) -> None:
    """Among others: in a key, in a value, and in the checkpoint."""
    others = {b"customer:%04d" % n: b"somebody %d" % number for n in range(500)}
    key, value = b"customer:" + NAMES[0] + b"\0cookie:1", b'{"text": "' + NAMES[1] + b'"}'
    stale = [NAMES[2].decode()]
    store.write(others | {key: value, b"device:x": value}, Checkpoint(number, stale=stale))


def test_what_was_deleted_or_replaced_is_on_the_disk_until_it_is_scrubbed(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = DiskStore(folder)
    for number in range(3):
        write_a_person(store, number)
        assert "log" in "".join(find(folder, NAMES)[NAMES[0]])  # not in a table yet
        store.close()
        store = DiskStore(folder)
        places = find(folder, NAMES)
        assert set(places) == set(NAMES)
        assert any(place.endswith(".sst") for place in places[NAMES[1]])
    (key,) = [key for key in store.keys() if NAMES[0] in key]  # noqa: SIM118
    store.write({key: None, b"device:x": b"{}"}, Checkpoint(9))
    assert set(find(folder, NAMES)) == set(NAMES)
    store.scrub()
    assert find(folder, NAMES) == {}
    assert len(list(store.keys())) == 501
    store.close()
    assert find(folder, NAMES) == {}
    store = DiskStore(folder)
    assert store.checkpoint == Checkpoint(9)
    assert store.get(b"device:x") == b"{}"
    store.close()


def test_the_last_key_of_a_table_leaves_the_manifest_too(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = DiskStore(folder)
    store.write({b"k": b"", b"z" + NAMES[2]: b""}, Checkpoint(1))
    store.close()
    store = DiskStore(folder)
    assert any(place.startswith("MANIFEST") for place in find(folder, NAMES)[NAMES[2]])
    store.write({b"z" + NAMES[2]: None}, Checkpoint(2))
    store.scrub()
    assert find(folder, NAMES) == {}
    store.close()


def test_a_deletion_is_scrubbed_soon_and_all_else_once_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"

    def due_in(store: Store) -> float:
        return store.scrub_due - time.time()

    store = DiskStore(folder)
    store.write({b"a": b"1"}, Checkpoint(1))
    store.write({b"a": b"2"}, Checkpoint(2))
    assert SCRUB_SECONDS - 60 < due_in(store) <= SCRUB_SECONDS
    store.write({b"a": None}, Checkpoint(3))
    assert due_in(store) <= 0
    store.close()
    store = DiskStore(folder)
    assert due_in(store) <= 0, "a worker that died before it scrubbed does so when it is back"
    store.scrub()
    assert SCRUB_SECONDS - 60 < due_in(store) <= SCRUB_SECONDS
    store.close()
    store = DiskStore(folder)
    assert SCRUB_SECONDS - 60 < due_in(store) <= SCRUB_SECONDS

    from streams import store as module

    compaction = module._everything

    def meanwhile() -> object:
        store.write({b"b": None}, Checkpoint(4))
        return compaction()

    store.scrub_soon()
    monkeypatch.setattr(module, "_everything", meanwhile)
    store.scrub()
    assert due_in(store) <= 0, "what is deleted meanwhile is scrubbed again"
    store.close()
    assert MemoryStore().scrub_due == float("inf")


def test_a_store_taken_away_while_it_is_scrubbed_is_whole(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "store")
    values = {b"k%06d" % n: os.urandom(600) for n in range(30_000)}
    store.write(values, Checkpoint(1))
    store.write({b"gone": None}, Checkpoint(2))
    ended: list[str] = []

    def scrub() -> None:
        try:
            store.scrub()
        except Released:
            ended.append("released")
        else:
            ended.append("done")

    thread = threading.Thread(target=scrub)
    thread.start()
    while not store._scrubbing.locked() and not ended:
        time.sleep(0)
    store.close()
    thread.join(30)
    assert ended
    with pytest.raises(Released):
        store.scrub()
    again = DiskStore(tmp_path / "store")
    assert dict(zip(again.keys(), again.values(), strict=True)) == values
    assert again.checkpoint == Checkpoint(2)
    assert (again.scrub_due <= time.time()) == (ended == ["released"])
    again.close()


def test_a_worker_scrubs_what_it_holds_and_removes_what_nobody_does(tmp_path: Path) -> None:
    stores = recovery(tmp_path)
    stores.start()
    held, following = stores.claim(TOPIC, 0), stores.spare(TOPIC, 1)
    assert following is not None
    for store in (held, following, stores.claim(TOPIC, 2), stores.claim(TOPIC, 3)):
        store.write({b"customer:" + NAMES[0]: NAMES[1]}, Checkpoint(1, "this", NOW_MS))
    for partition in (2, 3):
        stores.claim(TOPIC, partition).close()
    for name in (f"{TOPIC}-0", f"{TOPIC}-2"):
        for file in (tmp_path / name).iterdir():
            os.utime(file, (0, 0))
    for store in (held, following):
        store.write({b"customer:" + NAMES[0]: None}, Checkpoint(2, "this", NOW_MS))

    async def until_scrubbed() -> None:
        scrubbing = asyncio.ensure_future(stores.scrub())
        waiting = [held, following]
        while waiting or (tmp_path / f"{TOPIC}-2").exists():
            waiting = [store for store in waiting if store.scrub_due <= time.time()]
            await asyncio.sleep(0.01)
        scrubbing.cancel()

    asyncio.run(asyncio.wait_for(until_scrubbed(), 30))
    places = find(tmp_path, NAMES)
    assert {place.split("/")[0] for files in places.values() for place in files} == {f"{TOPIC}-3"}
    stores.stop()
