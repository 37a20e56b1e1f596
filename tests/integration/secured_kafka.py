"""An Apache Kafka that lets nobody in without TLS and a login, and nobody do what no ACL allows."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.kafka import command, prepare
from deploy.local.process import free_ports, is_open
from tests.certificates import Authority

_JAAS: Final = "org.apache.kafka.common.security"
# Who may do anything: what ACLs are given with. The controller's port has no login.
ADMIN: Final = "admin"
PASSWORDS: Final = {
    name: f"{name}'s marked-password"
    for name in (ADMIN, "web", "worker", "sink", "receiver", "operator", "nobody")
}


@dataclass(frozen=True)
class SecuredKafka:
    """Where it listens, by security protocol, and the authority it trusts."""

    ports: dict[str, int]
    authority: Authority

    def settings(self, user: str, security: str = "SASL_SSL") -> dict[str, str]:
        """`JOURNEY_*` for a user; with SSL, its client certificate is its login."""
        found = {
            "JOURNEY_KAFKA": f"127.0.0.1:{self.ports[security]}",
            "JOURNEY_KAFKA_SECURITY": security,
        }
        if security.endswith("SSL"):
            found["JOURNEY_KAFKA_CA"] = str(self.authority.file)
        if security.startswith("SASL"):
            found |= {"JOURNEY_KAFKA_USERNAME": user, "JOURNEY_KAFKA_PASSWORD": PASSWORDS[user]}
        else:
            signed = self.authority.sign(user)
            found["JOURNEY_KAFKA_CERTIFICATE"] = str(signed.certificate)
            found["JOURNEY_KAFKA_KEY"] = str(signed.key)
        return found


@contextmanager
def running_secured_kafka(folder: Path) -> Iterator[SecuredKafka]:
    """Start one with the users of `PASSWORDS`, of whom only the admin may do anything yet."""
    authority = Authority(folder, "ours")
    names = ("SASL_SSL", "SSL", "SASL_PLAINTEXT", "CONTROLLER")
    *listening, controller = free_ports(len(names))
    ports = dict(zip(names, listening, strict=False))
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    plain = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    options = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(
            f"{name}:{'PLAINTEXT' if name == 'CONTROLLER' else name}" for name in names
        ),
        "inter.broker.listener.name": "SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        **{
            f"listener.name.{name.lower()}.scram-sha-512.sasl.jaas.config": (
                f"{_JAAS}.scram.ScramLoginModule required;"
            )
            for name in ("SASL_SSL", "SASL_PLAINTEXT")
        },
        **{
            f"listener.name.{name.lower()}.plain.sasl.jaas.config": (
                f"{_JAAS}.plain.PlainLoginModule required {plain};"
            )
            for name in ("SASL_SSL", "SASL_PLAINTEXT")
        },
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.sign("broker").both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.ssl.ssl.client.auth": "required",
        "listener.name.ssl.ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": f"User:{ADMIN};User:broker;User:ANONYMOUS",
    }
    prepare(folder / "kafka", 0, controller, options, users=PASSWORDS)
    with (folder / "kafka.log").open("w") as log:
        broker = subprocess.Popen(command(folder / "kafka"), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not all(is_open(port) for port in ports.values()):
            assert broker.poll() is None, (folder / "kafka.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "Kafka does not answer"
            time.sleep(0.05)
        yield SecuredKafka(ports, authority)
    finally:
        broker.kill()
        broker.wait()
