"""Proof that the tests can fail: code broken on purpose, in a copy, and the test that must notice.

python -m tests.mutations [WORD]    # those whose name has the word; exit code 1 where one does not

No test here draws lots, waits for a clock or needs a server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_LEFT_OUT: Final = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
_SECONDS: Final = 300
_TESTS_FAILED: Final = 1  # pytest's exit code; 2 to 5 are other faults than a red test


@dataclass(frozen=True, slots=True)
class Mutation:
    """`old`, which stands once in `file`, becomes `new`; `test` must turn red."""

    name: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS: Final = (
    Mutation(
        "the sink commits before it writes",
        "sinks/consumer.py",
        "        try:\n            await asyncio.to_thread(write, batch, self._writer)\n",
        "        await self._commit(batch)\n"
        "        try:\n            await asyncio.to_thread(write, batch, self._writer)\n",
        "tests/unit/test_sink_commits.py",
    ),
    Mutation(
        "the sink goes on without a batch that was not written",
        "sinks/consumer.py",
        "                if pause is None or stop.is_set():\n",
        "                if True:\n",
        "tests/unit/test_sink_commits.py",
    ),
    Mutation(
        "the sink drops what a fetch returns after a rebalance",
        "sinks/consumer.py",
        "        self._backlog.add(fetched)\n",
        "        self._backlog.add(fetched if not self._revocations else {})\n",
        "tests/unit/test_sink_rebalance.py",
    ),
    Mutation(
        "a part forgets the event ids it has counted",
        "streams/core/resolve.py",
        "    if mark in state.seen:\n",
        "    if False:\n",
        "tests/unit/test_resolve.py::test_event_ids_that_count_up_are_told_apart",
    ),
    Mutation(
        "a part forgets how far it has counted",
        "streams/core/resolve.py",
        "    if offset <= state.offset:\n",
        "    if False:\n",
        "tests/unit/test_resolve.py::test_an_offset_read_again_counts_once",
    ),
    Mutation(
        "a part forgets the customers it has left and not told",
        "streams/core/resolve.py",
        "        state.left[state.customer] = (member.epoch, told)\n",
        "",
        "tests/agents/test_crashes.py",
    ),
    Mutation(
        "offsets are committed before outputs and state",
        "streams/app.py",
        "            chunk: Chunk = event.message.value\n",
        "            chunk: Chunk = event.message.value\n            event.ack()\n",
        "tests/unit/test_worker_acknowledges.py",
    ),
    Mutation(
        "a chunk that failed is acknowledged all the same",
        "streams/app.py",
        "                await _crash(app, error)\n                raise\n",
        "                pass\n",
        "tests/unit/test_worker_acknowledges.py",
    ),
    Mutation(
        "state is written before outputs",
        "streams/agents/resolve.py",
        "        await agent.deliver(out.records)\n        for anchor in out.changed:\n"
        "            tell(states.get_or_new(anchor))\n        await states.save(out.changed)\n",
        "        for anchor in out.changed:\n"
        "            tell(states.get_or_new(anchor))\n        await states.save(out.changed)\n"
        "        await agent.deliver(out.records)\n",
        "tests/agents/test_crashes.py",
    ),
    Mutation(
        "a move is sent before it is written down",
        "streams/agents/resolve.py",
        "        await states.save(erased.keys() | changed.keys())\n"
        "        await _send_parts(agent, states, moved)\n",
        "        await _send_parts(agent, states, moved)\n"
        "        await states.save(erased.keys() | changed.keys())\n",
        "tests/agents/test_crashes.py",
    ),
    Mutation(
        "the checkpoint of a store runs ahead of what it holds",
        "streams/changelog.py",
        "Checkpoint(self.end, self._incarnation",
        "Checkpoint(self.end + 1, self._incarnation",
        "tests/agents/test_zombies.py",
    ),
    Mutation(
        "nobody puts right what a zombie wrote",
        "streams/changelog.py",
        "                if run.offset > self.end:\n",
        "                if False:\n",
        "tests/unit/test_changelog.py",
    ),
    Mutation(
        "state is kept of a partition that is another's by now",
        "streams/changelog.py",
        "        if partition not in self._owned:\n            raise Released\n",
        "",
        "tests/agents/test_zombies.py",
    ),
    Mutation(
        "an agent goes on after a chunk that was taken from it",
        "streams/app.py",
        "                    worker.waiting.add(name)\n",
        "                    pass\n",
        "tests/unit/test_worker_acknowledges.py",
    ),
    Mutation(
        "what was deleted stays in RocksDB's files",
        "streams/store.py",
        "                self._database.compact_range(None, None, _everything())\n",
        "",
        "tests/unit/test_store.py",
    ),
)


def mutate(mutation: Mutation, folder: Path) -> None:
    """Apply a mutation to a copy of the repository; ValueError where its text is not there once."""
    path = folder / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.name}: {mutation.file} has changed; write it anew")
    path.write_text(text.replace(mutation.old, mutation.new))


def turns_red(mutation: Mutation, folder: Path) -> bool:
    """Whether the test fails in a copy of the repository with the mutation."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.test],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS,
        check=False,
    )
    return done.returncode == _TESTS_FAILED


def main(word: str = "") -> int:
    """Try every mutation, and say which went unnoticed."""
    unnoticed = 0
    for mutation in MUTATIONS:
        if word not in mutation.name:
            continue
        with TemporaryDirectory(prefix="mutation") as folder:
            copy = Path(folder) / "journey"
            shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
            mutate(mutation, copy)
            red = turns_red(mutation, copy)
        unnoticed += not red
        print(f"{'red' if red else 'UNNOTICED':9}  {mutation.name}: {mutation.test}", flush=True)
    return min(unnoticed, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
