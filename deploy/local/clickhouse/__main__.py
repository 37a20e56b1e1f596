"""Start the local ClickHouse: ``python -m deploy.local.clickhouse --data DIR --port N``."""

import argparse
import fcntl
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from .engine import Engine
from .faults import ServerFault
from .listener import Listener

LOOPBACK = "127.0.0.1"
_LOCK_NAME = "in-use.lock"


class StartRefused(Exception):
    """Why the local ClickHouse cannot start, and what to do about it, in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartRefused(message)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. 0 after an orderly end, 2 when it cannot start."""
    try:
        options = _options(arguments)
        lock = _lock_folder(options.data)
        listening = _listen(options.host, options.port)
        engine = _open_engine(options.data, options.config)
    except StartRefused as refused:
        print(f"clickhouse: {refused}", file=sys.stderr)
        return 2
    listener = Listener(listening, engine)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: listener.stop())
    print(f"listening on {options.host}:{listening.getsockname()[1]}", flush=True)
    listener.run()
    engine.close()
    os.close(lock)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m deploy.local.clickhouse")
    parser.add_argument("--data", type=Path, required=True, help="folder of the database")
    parser.add_argument("--config", type=Path, help="configuration, as of a ClickHouse server")
    parser.add_argument("--port", type=int, default=9000, help="0 chooses a free one")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on")
    return parser.parse_args(arguments)


def _lock_folder(folder: Path) -> int:
    """The descriptor that holds the folder; the kernel lets go of it however the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StartRefused(
            f"--data {folder}: cannot write there ({error.strerror}); choose a writable folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StartRefused(
            f"--data {folder}: another process is using it; stop that one or choose another folder"
        ) from error
    return lock


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "not 0 to 65535"
        raise StartRefused(
            f"--port {port}: cannot listen on {host} ({reason}); choose another, or 0 for any"
        ) from error


def _open_engine(folder: Path, config: Path | None) -> Engine:
    try:
        return Engine(folder, config)
    except ServerFault as fault:
        line = " ".join(fault.message.split())
        raise StartRefused(f"--data {folder}: chDB cannot open it: {line}") from fault


if __name__ == "__main__":
    sys.exit(main())
