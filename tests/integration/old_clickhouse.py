"""Debian's ClickHouse server: too old for our tables, but a real one, with TLS and users."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from deploy.local.process import free_ports, is_open
from tests.certificates import Authority

SERVER: Final = shutil.which("clickhouse-server")
PASSWORD: Final = "a marked/p@ss:word?#%"


@dataclass(frozen=True)
class OldClickHouse:
    """Its two ports, and the CA of the one with TLS."""

    port: int
    tls_port: int
    ca: Path


@contextmanager
def running_old_clickhouse(folder: Path) -> Iterator[OldClickHouse]:
    """Start one that knows the user `journey`, by password, and nobody else."""
    assert SERVER is not None
    authority = Authority(folder, "clickhouse")
    signed = authority.sign("clickhouse")
    port, tls_port, http_port = free_ports(3)
    (folder / "users.xml").write_text(
        f"""<yandex><profiles><default/></profiles><quotas><default/></quotas><users><journey>
        <password_sha256_hex>{sha256(PASSWORD.encode()).hexdigest()}</password_sha256_hex>
        <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
        </journey></users></yandex>"""
    )
    (folder / "config.xml").write_text(
        f"""<yandex><listen_host>127.0.0.1</listen_host><http_port>{http_port}</http_port>
        <tcp_port>{port}</tcp_port><tcp_port_secure>{tls_port}</tcp_port_secure>
        <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
        <users_config>{folder}/users.xml</users_config><default_profile>default</default_profile>
        <default_database>default</default_database><mark_cache_size>1048576</mark_cache_size>
        <logger><level>warning</level><log>{folder}/server.log</log>
        <errorlog>{folder}/error.log</errorlog></logger>
        <openSSL><server><certificateFile>{signed.certificate}</certificateFile>
        <privateKeyFile>{signed.key}</privateKeyFile><verificationMode>none</verificationMode>
        </server></openSSL></yandex>"""
    )
    with (folder / "output.log").open("w") as output:
        process = subprocess.Popen(
            [SERVER, f"--config-file={folder / 'config.xml'}"], stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 60
        while not (is_open(port) and is_open(tls_port)):
            assert process.poll() is None, (folder / "output.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "ClickHouse does not answer"
            time.sleep(0.05)
        yield OldClickHouse(port, tls_port, authority.file)
    finally:
        process.kill()
        process.wait()
