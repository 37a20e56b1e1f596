"""Stands in for what clickhouse-driver's sdist leaves out of its own tests.

Copied by run_driver_suite.py to ``tests/util.py``, ``tests/log.py`` and ``tests/numpy/util.py``.
"""

import contextlib
import functools
import io
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any


def configure(level: str) -> None:
    logging.getLogger().setLevel(level)


def skip_by_server_version(testcase: Any, version: tuple[int, ...]) -> None:
    testcase.skipTest(f"needs version {version}")


def require_server_version(*version: int) -> Callable[[Any], Any]:
    def decorate(test: Any) -> Any:
        @functools.wraps(test)
        def run(self: Any, *arguments: Any) -> Any:
            if self.server_version < version:
                skip_by_server_version(self, version)
            return test(self, *arguments)

        return run

    return decorate


def check_numpy(test: Any) -> Any:
    return test


@contextlib.contextmanager
def capture_logging(name: str, level: str) -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield written
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


@contextlib.contextmanager
def patch_env_tz(zone: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
