"""ClickHouse over TLS and with a password, against a real server; each refusal in one line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from clickhouse_driver.errors import Error

from sinks.clickhouse import connect
from sinks.refusals import explain
from tests.certificates import Authority
from tests.integration.journey import COMMAND
from tests.integration.old_clickhouse import (
    PASSWORD,
    SERVER,
    OldClickHouse,
    running_old_clickhouse,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(SERVER is None, reason="needs clickhouse-server: make integration-tools"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldClickHouse]:
    with running_old_clickhouse(tmp_path_factory.mktemp("old_clickhouse")) as running:
        yield running


def url(port: int, *, user: str = "journey", password: str = PASSWORD, options: str = "") -> str:
    scheme = "clickhouses" if options else "clickhouse"
    login = f"{user}:{quote(password, safe='')}"
    return f"{scheme}://{login}@127.0.0.1:{port}/default{options}"


@pytest.mark.parametrize("tls", [True, False])
def test_it_connects_with_tls_and_a_password_of_any_characters(
    server: OldClickHouse, tls: bool
) -> None:
    options = f"?ca_certs={server.ca}&verify=true" if tls else ""
    client = connect(url(server.tls_port if tls else server.port, options=options))
    try:
        # A server of 2018 has no currentUser().
        assert client.execute("SELECT user FROM system.processes") == [("journey",)]
    finally:
        client.disconnect()


def refusals(server: OldClickHouse, folder: Path) -> dict[str, tuple[str, str]]:
    """What is wrong -> a URL, and what is said of it."""
    theirs = Authority(folder, "theirs").file
    ours = f"?ca_certs={server.ca}"
    return {
        "password": (
            url(server.port, password="wrong-marked/p@ss"),
            "Wrong password for user journey: see the user and password in JOURNEY_CLICKHOUSE",
        ),
        "user": (url(server.port, user="nobody"), "Unknown user nobody: see the user and password"),
        "database": (
            url(server.port).replace("/default", "/nowhere"),
            "Database nowhere doesn't exist: run `journey setup`",
        ),
        "CA": (
            url(server.tls_port, options=f"?ca_certs={theirs}"),
            "name the CA in JOURNEY_CLICKHOUSE: ?ca_certs=FILE",
        ),
        "no CA": (
            url(server.tls_port, options="?verify=true"),
            "name the CA in JOURNEY_CLICKHOUSE",
        ),
        "host": (
            url(server.tls_port, options=ours).replace("127.0.0.1", "localhost"),
            "Hostname mismatch, certificate is not valid for 'localhost'",
        ),
        "a file": (url(server.tls_port, options="?ca_certs=/none.pem"), "see the files in JOURNEY"),
        "plaintext": (url(server.tls_port), "where it speaks TLS, clickhouses:// in JOURNEY_CLICK"),
        "TLS": (url(server.port, options=ours), "there is no TLS: clickhouse:// and not"),
    }


def test_what_is_refused_is_explained_in_one_line_without_the_password(
    server: OldClickHouse, tmp_path: Path
) -> None:
    for fault, (wrong, said) in refusals(server, tmp_path).items():
        client = connect(wrong)
        with pytest.raises((Error, OSError, EOFError)) as refused:
            client.execute("SELECT 1")
        line = explain(refused.value)
        assert said in line, fault
        assert "\n" not in line, fault
        assert "marked" not in line, fault


@pytest.mark.parametrize("before", [[], ["--debug"]])
def test_a_verb_says_so_and_fails(server: OldClickHouse, tmp_path: Path, before: list[str]) -> None:
    others = {name: value for name, value in os.environ.items() if not name.startswith("JOURNEY_")}
    wrong, said = refusals(server, tmp_path)["password"]
    not_a_url = f"clickhouse://journey:{PASSWORD}@127.0.0.1:{server.port}/default"
    for given, expected in ((wrong, said), (not_a_url, "JOURNEY_CLICKHOUSE is not a URL of Click")):
        done = subprocess.run(
            [COMMAND, *before, "customers"],
            env=others | {"JOURNEY_DATA": str(tmp_path), "JOURNEY_CLICKHOUSE": given},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        if before:
            assert "Traceback" in done.stderr
        else:
            assert len(done.stderr.splitlines()) == 1, done.stderr
            assert expected in done.stderr
        assert "marked" not in done.stderr + done.stdout
