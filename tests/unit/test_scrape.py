"""Samples added up over processes, and quantiles of histograms."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.local.scrape import quantile, scrape, total

WORKER = """\
# TYPE journey_records counter
journey_records_total{agent="resolve"} 10.0
journey_records_total{agent="stitch"} 5.0
# TYPE seconds histogram
seconds_bucket{le="0.1"} 50.0
seconds_bucket{le="0.2"} 90.0
seconds_bucket{le="+Inf"} 100.0
seconds_count 100.0
seconds_sum 9.0
"""
OTHER = WORKER.replace('{agent="resolve"} 10.0', '{agent="resolve"} 7.0')


def test_a_sample_is_summed_over_processes_and_labels() -> None:
    assert total([WORKER, OTHER], "journey_records_total") == 27
    assert total([WORKER, OTHER, ""], "journey_records_total", agent="resolve") == 17
    assert total([WORKER], "journey_records_total", agent="sweep") == 0
    assert total([], "journey_records_total") == 0


@pytest.mark.parametrize(
    ("q", "seconds"),
    [(0.25, 0.05), (0.5, 0.1), (0.7, 0.15), (0.9, 0.2), (0.99, 0.2), (1.0, 0.2)],
)
def test_a_quantile_is_interpolated_as_promql_does(q: float, seconds: float) -> None:
    assert quantile([WORKER], "seconds", q) == pytest.approx(seconds)
    assert quantile([WORKER, OTHER], "seconds", q) == pytest.approx(seconds)


def test_a_histogram_nobody_observed_has_no_quantile() -> None:
    assert quantile([], "seconds", 0.5) == 0
    assert quantile([WORKER], "other", 0.5) == 0


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a metrics page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(WORKER.encode())

        def log_message(self, *_: object) -> None:
            """Nothing: tests are quiet."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.integration
def test_the_page_of_a_process_is_read(page: int) -> None:
    assert scrape(page) == WORKER


@pytest.mark.integration
def test_a_process_that_does_not_answer_has_an_empty_page() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        assert scrape(held.getsockname()[1]) == ""
