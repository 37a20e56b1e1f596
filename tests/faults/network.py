"""Network namespaces: each process of the run behind a link of its own that can be cut.

The run itself is in namespaces too (network, mounts, processes): when it ends, however it ends,
the kernel takes everything back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, Protocol

_NAMES: Final = Path("/run/netns")
_BRIDGE: Final = "journey0"
_PREFIX: Final = "10.77.0."
_ONE: Final = "the run has one network only"
_UNSHARE: Final = (
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *([] if os.geteuid() == 0 else ["--map-root-user"]),
)


class NoNamespaces(Exception):
    """The kernel or the user does not allow network namespaces; the message has the reason."""


class Network(Protocol):
    """Where processes find each other. `hub` is the address of the broker and of the run."""

    hub: str
    severable: bool

    def join(self, name: str) -> str:
        """Connect a process of this name; its address."""

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        """The command as it runs behind the link of `name`."""

    def cut(self, name: str, silently: bool) -> None:
        """Nothing passes any more. Silently: the process's own end looks as if all were well."""

    def throttle(self, name: str) -> None:
        """Let little pass, late: 256 kbit/s, queued for 400 ms, the rest dropped."""

    def mend(self, name: str) -> None:
        """Undo `cut` and `throttle`."""


class Loopback:
    """One network for all, which nothing cuts."""

    hub = "127.0.0.1"
    severable = False

    def join(self, name: str) -> str:
        return self.hub

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        return list(command)

    def cut(self, name: str, silently: bool) -> None:
        raise NoNamespaces(_ONE)

    def throttle(self, name: str) -> None:
        raise NoNamespaces(_ONE)

    def mend(self, name: str) -> None:
        raise NoNamespaces(_ONE)


class Bridged:
    """A bridge with one namespace for each name; to be made inside `isolate`."""

    hub = _PREFIX + "1"
    severable = True

    def __init__(self) -> None:
        self._joined: list[str] = []
        _NAMES.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "netns", str(_NAMES))
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", _BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{self.hub}/24", "dev", _BRIDGE)
        _run("ip", "link", "set", _BRIDGE, "up")

    def join(self, name: str) -> str:
        self._joined.append(name)
        address = _PREFIX + str(10 + len(self._joined))
        link = self._link(name)
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", link, "master", _BRIDGE, "up")
        _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", name, "link", "set", device, "up")
        return address

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={_NAMES / name}", *command]

    def cut(self, name: str, silently: bool) -> None:
        _run("ip", "link", "set", self._link(name), "nomaster" if silently else "down")

    def throttle(self, name: str) -> None:
        for end in self._ends(name):
            _run(
                "tc", *end, "root", "tbf", "rate", "256kbit", "burst", "32kbit", "latency", "400ms"
            )

    def mend(self, name: str) -> None:
        _run("ip", "link", "set", self._link(name), "master", _BRIDGE, "up")
        for end in self._ends(name):
            _run("tc", *end, "root", "noqueue")

    def _ends(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Both ends of a link, as `tc` names them."""
        return (
            ("qdisc", "replace", "dev", self._link(name)),
            ("-n", name, "qdisc", "replace", "dev", "eth0"),
        )

    def _link(self, name: str) -> str:
        return f"to-{name}"


def isolate(module: str, arguments: Sequence[str]) -> NoReturn:
    """Become the same program in namespaces of its own. Raises NoNamespaces."""
    try:
        tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
        fault = tried.stderr.strip() if tried.returncode else ""
    except FileNotFoundError:
        fault = "unshare is not installed"
    if fault:
        raise NoNamespaces(f"network namespaces are not available ({fault})")
    os.execvp(_UNSHARE[0], [*_UNSHARE, sys.executable, "-m", module, *arguments])


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoNamespaces(f"{command[0]} is not installed (Debian: iproute2)") from None
    if done.returncode:
        raise NoNamespaces(f"{' '.join(command)}: {done.stderr.strip()}")
