"""Probes and metrics read from the processes' own pages, the latter added up over them."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def probe(port: int, route: str, seconds: float = 1.0) -> dict[str, Any] | None:
    """What /live or /ready of a process on this machine tells; None where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{route}", timeout=seconds) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        found = json.load(error) if error.code == 503 else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def scrape(port: int) -> str:
    """The metrics page of a process on this machine; empty where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def total(pages: list[str], name: str, **labels: str) -> float:
    """A sample's sum over processes and all labels but those given."""
    return sum(value for found, value in _samples(pages, name) if labels.items() <= found.items())


def quantile(pages: list[str], name: str, q: float) -> float:
    """A quantile of a histogram over processes, as PromQL's `histogram_quantile` finds it."""
    buckets: dict[float, float] = {}
    for labels, value in _samples(pages, name + "_bucket"):
        bound = float(labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + value
    rank = q * buckets.get(math.inf, 0.0)
    low = below = 0.0
    for bound in sorted(buckets):
        if buckets[bound] >= rank and buckets[bound] > below:
            if bound == math.inf:
                return low
            return low + (bound - low) * (rank - below) / (buckets[bound] - below)
        low, below = bound, buckets[bound]
    return 0.0


def _samples(pages: list[str], name: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for page in pages
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    ]
