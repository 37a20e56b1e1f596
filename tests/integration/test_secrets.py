"""What the local stack keeps to itself: its identity key, and who may read where it listens."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from schemas.settings import KEY_FILE, STACK_FILE
from tests.integration.journey import journey

pytestmark = pytest.mark.integration


def test_only_its_owner_reads_the_stacks_files_and_no_log_has_its_key(stack: Stack) -> None:
    folder = stack.settings.data
    key = (folder / KEY_FILE).read_text().strip()
    for name in (KEY_FILE, STACK_FILE):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    shown = journey(folder, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    said = {path.name: path.read_text(errors="replace") for path in (folder / "logs").iterdir()}
    said |= {"status": shown.stdout, STACK_FILE: (folder / STACK_FILE).read_text()}
    said |= {"command lines": "".join(map(command_line, stack_pids(folder)))}
    assert len(said) > 5
    assert [name for name, text in said.items() if key in text] == []


def stack_pids(folder: Path) -> list[int]:
    found: dict[str, int] = json.loads((folder / STACK_FILE).read_text())["processes"]
    return list(found.values())


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
