"""A store on disk is what a store in memory is; and when one cannot be used."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streams.cluster import Incarnation
from streams.recovery import Recovery, StateInUse
from streams.store import Checkpoint, DiskStore, MemoryStore, Released, Store, StoreFailed

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
