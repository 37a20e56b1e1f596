"""Known vulnerabilities of what requirements.lock pins, by pip-audit: `python -m tests.audit`.

Exit code 0 where every package was looked up and is clean, 1 where one is not, 3 where some could
not be looked up: pip-audit itself calls those clean.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

_LOCK: Final = "requirements.lock"
_AUDIT: Final = (
    *(sys.executable, "-m", "pip_audit", "--requirement", _LOCK, "--require-hashes"),
    *("--disable-pip", "--format", "json", "--progress-spinner", "off"),
)


def main(arguments: list[str]) -> int:
    """Audit, and say what was found; `arguments` are passed on to pip-audit."""
    done = subprocess.run([*_AUDIT, *arguments], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"audit: NOT DONE, pip-audit failed: {reason}", file=sys.stderr)
        return 3
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, "
        f"fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for package in packages
        for flaw in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    for line in found:
        print(f"audit: {line}", file=sys.stderr)
    if unknown:
        print(
            f"audit: NOT DONE for {len(unknown)} of {len(packages)} packages, such as "
            f"{unknown[0]}: the vulnerability service does not know them, or cannot be reached",
            file=sys.stderr,
        )
    if found:
        return 1
    if unknown:
        return 3
    print(f"audit: {len(packages)} packages, none with a known vulnerability")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
