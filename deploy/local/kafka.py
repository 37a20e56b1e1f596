"""Apache Kafka on this machine: one broker in KRaft mode, its log in a folder, on loopback only.

Its jars come from Maven Central (`make kafka`); it needs Java 17. Unlike the embedded broker it
remembers. Run it alone with `python -m deploy.local.kafka --data FOLDER --port PORT`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

JARS: Final = Path(__file__).resolve().parents[2] / ".kafka" / "lib"  # where `make kafka` puts them
_HEAP: Final = "512m"
_CONFIGURED: Final = "server.properties"


class KafkaMissing(Exception):
    """Java or Apache Kafka's jars are not on this machine; the message says how to get them."""


def prepare(
    folder: Path,
    port: int,
    controller_port: int,
    extra: Mapping[str, str] | None = None,
    jars: Path = JARS,
    users: Mapping[str, str] | None = None,
) -> None:
    """Write the broker's configuration and format its log, where that is not done yet.

    `extra` are broker options, by Kafka's names, that replace ours; `users` are names and
    passwords of a log yet to format, for SCRAM-SHA-512. Raises KafkaMissing.
    """
    java = _java(jars)
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "log.dirs": str(folder / "log"),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        # A broker that was killed may not come back before its old session has ended.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        **(extra or {}),
    }
    lines = [f"{name}={_escaped(value)}\n" for name, value in options.items()]
    (folder / _CONFIGURED).write_text("".join(lines))
    if (folder / "log" / "meta.properties").exists():
        return
    # Kafka takes an id that begins with a dash for an option: with a zero byte it begins with A.
    cluster = urlsafe_b64encode(b"\0" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
    logins = [f"SCRAM-SHA-512=[name={n},password={p}]" for n, p in (users or {}).items()]
    done = subprocess.run(  # noqa: S603
        [
            *(*java, "kafka.tools.StorageTool", "format", "-t", cluster),
            *("-c", folder / _CONFIGURED),
            *(word for login in logins for word in ("--add-scram", login)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise KafkaMissing(f"Kafka's log cannot be formatted: {done.stdout}{done.stderr}".strip())


def _escaped(value: str) -> str:
    """A value as Java reads properties: Latin-1, with a backslash before what means something."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    pairs = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(unit) if 0x20 <= unit < 0x7F else f"\\u{unit:04x}" for unit in pairs)


def command(folder: Path, jars: Path = JARS) -> list[str]:
    """Command line of a broker on a prepared folder. Raises KafkaMissing."""
    return [*_java(jars), "kafka.Kafka", str(folder / _CONFIGURED)]


def _java(jars: Path) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise KafkaMissing(
            "Apache Kafka needs Java 17: install it (Debian: openjdk-17-jre-headless)"
        )
    if not any(jars.glob("kafka-clients-*.jar")):
        raise KafkaMissing(
            f"Apache Kafka is not in {jars}: fetch it with `make kafka` (JOURNEY_KAFKA_JARS)"
        )
    return [
        java,
        f"-Xmx{_HEAP}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{jars.absolute()}/*",
    ]


def main() -> NoReturn:
    """Run a broker in the foreground; exit code 1 where Java or Kafka is missing."""
    parser = argparse.ArgumentParser(prog="deploy.local.kafka", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9092)
    arguments = parser.parse_args()
    try:
        prepare(arguments.data, arguments.port, arguments.port + 1)
        line = command(arguments.data)
    except KafkaMissing as error:
        sys.exit(f"kafka: {error}")
    print(f"Kafka on 127.0.0.1:{arguments.port}, data in {arguments.data}", flush=True)
    os.execv(line[0], line)  # noqa: S606


if __name__ == "__main__":
    main()
