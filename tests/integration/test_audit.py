"""The audit of our packages, by the real pip-audit against a vulnerability service of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.audit import main
from tests.servers import refusing_port

pytestmark = pytest.mark.integration
FLAW = {
    "id": "TEST-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "",
    "affected": [
        {
            "package": {"name": "pydantic", "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]},
            ],
        }
    ],
}


@contextmanager
def service(flawed: str | None) -> Iterator[str]:
    """URL of a service in the form of osv.dev that knows one flaw, of one package."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = asked["package"]["name"] == flawed
            body = json.dumps({"vulns": [FLAW]} if known else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(url: str) -> int:
    return main(["--vulnerability-service", "osv", "--osv-url", url])


def test_packages_without_flaws_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with service(flawed=None) as url:
        assert audit(url) == 0
    assert "none with a known vulnerability" in capsys.readouterr().out


def test_a_flaw_fails_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with service(flawed="pydantic") as url:
        assert audit(url) == 1
    said = capsys.readouterr().err
    assert said.startswith("audit: pydantic 2.")
    assert said.strip().endswith(": TEST-2026-1, fixed in 99.1")


def test_what_was_not_looked_up_is_not_called_clean(capsys: pytest.CaptureFixture[str]) -> None:
    with refusing_port() as port:
        assert audit(f"http://127.0.0.1:{port}/v1/query") == 3
    assert "NOT DONE" in capsys.readouterr().err
