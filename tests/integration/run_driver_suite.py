"""Run clickhouse-driver's own tests against the embedded ClickHouse and print counts.

    python -m tests.integration.run_driver_suite [--git URL_OR_FOLDER]

The sdist from the package index holds 15 of its test modules. ``--git`` (a clone of
github.com/mymarilyn/clickhouse-driver, or its address) adds all others: columns and NumPy.
"""

import argparse
import configparser
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.integration.clickhouse_process import ROOT, Front, running_front

VERSION = "0.2.11"
GIT_COMMIT = "48bada6"  # "Version 0.2.11 release"; the tag is not in every clone
PLACE = ROOT / "build" / "driver-suite"
PACKAGES = ("freezegun==1.5.5", "parameterized==0.9.0", "zstd==1.5.7.2")
HERE = Path(__file__).parent

NOT_CARRIED = "JSON, Dynamic and Variant columns are not carried: the project has none"
NO_LOGS = "chDB gives no server logs to send as Log packets"
NO_LIMIT = "chDB does not tell how many rows LIMIT left out (rows_before_limit)"

IGNORED_MODULES = {
    "tests/columns/test_json.py": NOT_CARRIED,
    "tests/columns/test_newjson.py": NOT_CARRIED,
    "tests/arrow": "needs pyarrow, which the project does not use",
}
DESELECTED = {
    "tests/test_blocks.py::LogTestCase": NO_LOGS,
    "tests/test_opentelemetry.py::OpenTelemetryTestCase::test_server_logs": NO_LOGS,
    "tests/test_opentelemetry.py::OpenTelemetryTestCase::test_no_tracestate": NO_LOGS,
    "tests/test_query_info.py::QueryInfoTestCase::test_store_last_query_after_execute": NO_LIMIT,
    "tests/test_query_info.py::QueryInfoTestCase::test_last_query_after_execute_iter": NO_LIMIT,
    "tests/test_query_info.py::QueryInfoTestCase::"
    "test_last_query_after_execute_with_progress": NO_LIMIT,
    "tests/test_query_info.py::QueryInfoTestCase::test_override_after_subsequent_queries": NO_LIMIT,
    "tests/test_connect.py::ConnectTestCase::test_client_with_no_cert_validation": "needs TLS",
    "tests/test_dbapi.py::DBAPITestCase::test_connect_default_params": "needs port 9000",
    "tests/test_dbapi.py::ExtrasTestCase::test_set_query_id": "chDB takes no query id",
    "tests/test_insert.py::InsertTestCase::test_insert_from_input": (
        "INSERT ... SELECT FROM input() with blocks is not supported"
    ),
    "tests/columns/test_sparse.py::SparseSerializationTestCase::"
    "test_apply_sparse_bool_returns_real_bools": "a bug of the driver itself, no server involved",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--git", help="clone or address that holds the complete tests")
    git = parser.parse_args().git
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    tree = fetch_sdist()
    if git:
        add_git_tests(tree, git)
    else:
        add_support(tree)
    install_packages()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_front(Path(folder), time_zone="Europe/Moscow") as front,
    ):
        write_setup(tree, front)
        return run_tests(tree)


def fetch_sdist() -> Path:
    """The unpacked sdist, without the package itself: the installed one is what is tested."""
    pip("download", "--no-binary", ":all:", "--no-deps", f"clickhouse-driver=={VERSION}")
    (archive,) = PLACE.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(PLACE, filter="data")
    tree = archive.with_name(archive.name.removesuffix(".tar.gz"))
    shutil.rmtree(tree / "clickhouse_driver")
    return tree


def add_support(tree: Path) -> None:
    support = HERE / "driver_suite_support.py"
    (tree / "tests" / "numpy").mkdir()
    for name in ("util.py", "log.py", "numpy/util.py"):
        shutil.copy(support, tree / "tests" / name)
    for name in ("__init__.py", "numpy/__init__.py"):
        (tree / "tests" / name).touch()


def add_git_tests(tree: Path, git: str) -> None:
    clone = PLACE / "clone"
    run(["git", "clone", "--quiet", "--no-checkout", git, str(clone)])
    shutil.rmtree(tree / "tests")
    run(["git", f"--work-tree={tree}", "checkout", "--quiet", GIT_COMMIT, "--", "tests"], clone)


def install_packages() -> None:
    pip("install", "--quiet", "--target", str(PLACE / "packages"), *PACKAGES)


def write_setup(tree: Path, front: Front) -> None:
    setup = configparser.ConfigParser()
    setup["db"] = {
        "host": "127.0.0.1",
        "port": str(front.port),
        "secure_port": "1",
        "database": "test",
        "user": "default",
        "password": "",
        "compression": "lz4,lz4hc",
        "client": str(PLACE / "clickhouse-client"),
    }
    setup["log"] = {"level": "ERROR"}
    with (tree / "setup.cfg").open("w") as file:
        setup.write(file)
    # so that the tests' names start here, not at the project's own pyproject.toml
    (tree / "pytest.ini").write_text("[pytest]\n")
    client = PLACE / "clickhouse-client"
    client.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "driver_suite_cli.py"} "$@"\n')
    client.chmod(0o755)


def run_tests(tree: Path) -> int:
    options = ["-q", "-p", "no:cacheprovider", "-rfE", "--tb=short", "--timeout=60", "tests"]
    options += [f"--ignore={name}" for name in IGNORED_MODULES if (tree / name).exists()]
    options += [f"--deselect={name}" for name in DESELECTED]
    sys.stdout.flush()
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tree,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PLACE / "packages"), "LANG": "C.UTF-8"},
        check=False,
    )
    print("\nleft out:")
    for name, reason in (IGNORED_MODULES | DESELECTED).items():
        if (tree / name.split("::")[0]).exists():
            print(f"  {name}: {reason}")
    return ended.returncode


def pip(*arguments: str) -> None:
    run([sys.executable, "-m", "pip", *arguments])


def run(arguments: list[str], place: Path = PLACE) -> None:
    subprocess.run(arguments, cwd=place, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
