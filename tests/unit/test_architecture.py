"""The direction of imports, the purity of the core, and where the environment is read."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    *("schemas", "streams", "producers", "sinks", "analytics", "privacy", "alerts", "deploy"),
    "commands",
)
FILES = {"streams.policy", "streams.rules", "streams.yaml_file"}
WIRING = {
    *("streams.changelog", "streams.delivery", "streams.metrics", "streams.recent"),
    *("streams.security", "streams.store", "streams.transport"),
}
VITALS = {
    *("streams.memory", "streams.outage", "streams.probes", "streams.retry", "streams.rights"),
    "streams.serving",
}
# Module or package -> what of ours it may import; the longest name that fits decides.
MAY_IMPORT: dict[str, set[str]] = {
    "schemas": {"schemas"},
    "streams": {"schemas", "streams.core", "streams.cluster", *FILES, *WIRING, *VITALS},
    "streams.standby": {
        *("schemas", "streams.cluster", "streams.recovery", "streams.retry"),
        *WIRING,
    },
    "streams.core": {"schemas", "streams.core"},
    "streams.agents": {"schemas", "streams.core", "streams.agents", *WIRING},
    "streams.worker": {"schemas", "streams"},
    "streams.app": {"schemas", "streams"},
    "producers": {
        *("schemas", "streams.core", "streams.metrics", "streams.cluster", "streams.security"),
        "producers",
    },
    "sinks": {
        *("schemas", "streams.core", "streams.metrics", "streams.cluster", "streams.security"),
        *VITALS,
        "sinks",
    },
    "sinks.dispatch.dispatcher": {
        *("schemas", "streams.core", "streams.metrics", "streams.outage", "streams.probes"),
        *("streams.retry", "sinks.dispatch"),
    },
    "sinks.dispatch": {
        *("schemas", "streams.core", "streams.changelog", "streams.delivery"),
        *("streams.outage", "streams.retry", "streams.yaml_file", "sinks.dispatch"),
    },
    "sinks.outreach": {
        *("schemas", "streams.cluster", "streams.delivery", "streams.security", "sinks.dispatch"),
        *VITALS,
    },
    "analytics": {
        *("schemas", "streams.core", "streams.metrics", "streams.cluster", "sinks.shards"),
        "analytics",
    },
    "privacy": {
        *("schemas", "streams.core", "streams.cluster", "producers", "analytics", "sinks.shards"),
        "privacy",
    },
    "alerts": {
        *("schemas", "streams.core", "streams.cluster", "streams.delivery", "streams.metrics"),
        *("streams.security", "sinks.clickhouse", "sinks.refusals", "analytics", "alerts"),
        *(*FILES, *VITALS),
    },
    "deploy.local": {"schemas", "streams", "producers", "sinks", "analytics", "deploy.local"},
    "deploy.kafka": {"schemas", "streams", "deploy.kafka"},
    "deploy.grafana": {"schemas", "streams.core", "analytics", "deploy.grafana"},
    "deploy.local.clickhouse": {"deploy.local.clickhouse"},
    "commands": {*SOURCES, "deploy.local", "deploy.kafka"},
    "cli": {"commands"},
}
# What does I/O, knows the time, draws lots or waits.
IMPURE = {
    *("aiokafka", "asyncio", "clickhouse_driver", "faust", "kafka", "logging", "multiprocessing"),
    *("os", "prometheus_client", "random", "secrets", "socket", "subprocess", "threading", "time"),
}
KEPT_OUT = ("faust", "aiokafka", "kafka", "clickhouse_driver", "prometheus_client", "numpy")
COMPOSITION_ROOTS = {"schemas.settings", "deploy.local.stack"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_of(path): path
    for path in (ROOT / "cli.py", *(p for name in SOURCES for p in (ROOT / name).rglob("*.py")))
}


def imports(path: Path) -> Iterator[str]:
    """Full names of everything imported anywhere in a file; `from a import b` counts as a.b."""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{source}.{alias.name}"
                yield name if name in MODULES else source


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def rule_of(module: str) -> set[str]:
    return MAY_IMPORT[max((p for p in MAY_IMPORT if is_within(module, p)), key=len)]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module: str) -> None:
    ours = {name for name in imports(MODULES[module]) if name.split(".")[0] in {*SOURCES, "cli"}}
    wrong = {n for n in ours if not any(is_within(n, package) for package in rule_of(module))}
    assert not wrong, f"{module} may not import {sorted(wrong)}"


@pytest.mark.parametrize("module", sorted(m for m in MODULES if is_within(m, "streams.core")))
def test_the_core_imports_nothing_that_has_effects(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(MODULES[module])} & IMPURE


def test_the_core_loads_without_clients_and_engines() -> None:
    core = sorted(m for m in MODULES if is_within(m, "streams.core"))
    assert len(core) > 5
    program = (
        "import importlib, json, sys\n"
        f"for name in {core!r}: importlib.import_module(name)\n"
        f"print(json.dumps([name for name in {KEPT_OUT!r} if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == []


def test_the_environment_is_read_in_composition_roots_only() -> None:
    readers = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_bytes()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "getenv", "environb"})
    }
    assert readers == COMPOSITION_ROOTS


def test_only_the_worker_builds_a_faust_app() -> None:
    builders = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"faust.App", "App"}
    }
    assert builders == {"streams.app"}
