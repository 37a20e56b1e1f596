"""Apache Kafka with TLS, logins and ACLs: each role does its work over it, and no other's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    for_code,
)

from deploy.kafka.acls import AclsRefused, grant, held
from deploy.local.kafka import JARS
from schemas import topics
from schemas.settings import load
from sinks.clickhouse import connect
from streams.cluster import SINK, WORKERS, administer
from streams.security import client_options, why_unreachable
from tests.certificates import Authority
from tests.integration.journey import COMMAND, until, write_ndjson
from tests.integration.secured_kafka import ADMIN, SecuredKafka, running_secured_kafka
from tests.wire import touchpoint

pytestmark = [
    pytest.mark.integration,
    pytest.mark.broker,
    pytest.mark.skipif(not JARS.is_dir(), reason="needs Apache Kafka: make kafka"),
]
TOUCHPOINTS = 300
ROLES = {
    "web": "producer",
    **{role: role for role in ("worker", "sink", "receiver", "operator")},
}


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """With the ACLs of every role given, and the topics declared by the operator."""
    with running_secured_kafka(tmp_path_factory.mktemp("secured")) as running:
        admin = load(running.settings(ADMIN))
        for user, role in ROLES.items():
            assert grant(admin, role, f"User:{user}") > 0
            assert grant(admin, role, f"User:{user}") == 0, "granting twice adds nothing"
        yield running


def environ(data: Path, **settings: str) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("JOURNEY_")}
    fixed = {"JOURNEY_DATA": str(data), "JOURNEY_IDENTITY_KEY": "k", "JOURNEY_METRICS_PORT": "0"}
    return others | fixed | {"COLUMNS": "200"} | settings


def run(data: Path, settings: dict[str, str], *verb: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *verb],
        env=environ(data, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(data: Path, settings: dict[str, str], verb: str) -> Iterator[None]:
    log = data / f"{verb}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [COMMAND, verb], env=environ(data, **settings), stdout=output, stderr=output
        )
    try:
        yield
        assert process.poll() is None, log.read_text()[-3000:]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


def stored(url: str) -> list[tuple[int, ...]]:
    """Touchpoints in the ledger, dead letters, and touchpoints counted in parts."""
    client = connect(url)
    try:
        found: list[tuple[int, ...]] = client.execute(
            "SELECT (SELECT count() FROM touchpoints FINAL),"
            " (SELECT count() FROM dead_letters FINAL), (SELECT sum(n) FROM parts FINAL)"
        )
        return found
    finally:
        client.disconnect()


def test_a_pipeline_runs_over_tls_each_role_with_its_own_login_and_rights(
    kafka: SecuredKafka, clickhouse_url: str, tmp_path: Path
) -> None:
    database = {"JOURNEY_CLICKHOUSE": clickhouse_url}
    operator = kafka.settings("operator") | database
    done = run(tmp_path, operator, "setup")
    assert done.returncode == 0, done.stderr
    assert "touchpoints" in done.stdout
    done = run(tmp_path, operator, "topics", "--check")
    assert done.returncode == 0, done.stderr
    file = write_ndjson(
        tmp_path / "touchpoints.ndjson",
        [
            *(
                touchpoint(
                    n,
                    occurred_at="2026-06-01T08:30:00Z",
                    identifiers=[
                        {"kind": "customer", "value": str(n % 20)},
                        {"kind": "cookie", "value": f"c-{n % 40}"},
                    ],
                )
                for n in range(TOUCHPOINTS)
            ),
            b"not a touchpoint",
        ],
    )
    with (
        running(tmp_path, kafka.settings("worker"), "worker"),
        running(tmp_path, kafka.settings("sink") | database, "sink"),
    ):
        done = run(tmp_path, kafka.settings("web"), "import", str(file))
        assert done.returncode == 0, done.stderr
        whole = [(TOUCHPOINTS, 1, TOUCHPOINTS)]
        until(lambda: stored(clickhouse_url) == whole, "not all stored")
        found = run(tmp_path, operator, "status", "--json")
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)
        linking = ("identity", "link", "customer:1", "customer:2", "--reason", "r", "--no-wait")
        done = run(tmp_path, operator, *linking)
        assert done.returncode == 0, done.stderr
    logs = "".join(log.read_text() for log in tmp_path.glob("*.log"))
    assert "Traceback" not in logs
    assert "marked" not in logs


def writes(kafka: SecuredKafka, user: str, topic: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=kafka.settings(user)["JOURNEY_KAFKA"],
        max_block_ms=5_000,
        enable_idempotence=False,  # or the user would be refused before it names a topic
        **client_options(load(kafka.settings(user))),
    )
    try:
        producer.send(topic, b"{}", b"k").get(10)
    finally:
        producer.close(timeout=1)


def reads(kafka: SecuredKafka, user: str, topic: str, group: str | None = None) -> None:
    with administer(load(kafka.settings(user))) as admin:  # a consumer would wait for the topic
        code = admin.describe_topics([topic])[0]["error_code"]
    if code:
        raise for_code(code)
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.settings(user)["JOURNEY_KAFKA"],
        group_id=group,
        enable_auto_commit=False,
        **client_options(load(kafka.settings(user))),
    )
    try:
        at = TopicPartition(topic, 0)
        consumer.assign([at])
        if group is not None:
            consumer.committed(at)
            return
        consumer.seek(at, 0)
        consumer.poll(3_000)
    finally:
        consumer.close()


FORBIDDEN: list[tuple[str, Callable[..., None], tuple[str, ...], type[AuthorizationError]]] = [
    ("web", reads, ("touchpoints",), TopicAuthorizationFailedError),
    ("web", writes, ("journeys",), TopicAuthorizationFailedError),
    ("worker", reads, ("journeys",), TopicAuthorizationFailedError),
    ("worker", reads, ("touchpoints", SINK), GroupAuthorizationFailedError),
    ("sink", writes, ("touchpoints",), TopicAuthorizationFailedError),
    ("sink", writes, ("parts",), TopicAuthorizationFailedError),
    ("sink", reads, ("touchpoints",), TopicAuthorizationFailedError),
    ("sink", reads, ("journeys", WORKERS), GroupAuthorizationFailedError),
    ("receiver", writes, ("outreach",), TopicAuthorizationFailedError),
    ("receiver", reads, ("outreach.requests",), TopicAuthorizationFailedError),
    ("nobody", writes, ("touchpoints",), TopicAuthorizationFailedError),
    ("nobody", reads, ("customers",), TopicAuthorizationFailedError),
]


@pytest.mark.parametrize(("user", "attempt", "arguments", "error"), FORBIDDEN)
def test_a_role_cannot_do_what_another_does(
    kafka: SecuredKafka,
    user: str,
    attempt: Callable[..., None],
    arguments: tuple[str, ...],
    error: type[AuthorizationError],
) -> None:
    with pytest.raises(error):
        attempt(kafka, user, *arguments)


def test_the_receiver_asks_the_guard(kafka: SecuredKafka) -> None:
    writes(kafka, "receiver", topics.REQUESTS.name)


def test_only_an_administrator_gives_rights(kafka: SecuredKafka, tmp_path: Path) -> None:
    with pytest.raises(AclsRefused, match=r"super\.users"):
        grant(load(kafka.settings("operator")), "worker", "User:nobody")
    shown = run(tmp_path, kafka.settings(ADMIN), "acls", "show", "User:web", "--json")
    assert {(p["operation"], p["name"]) for p in json.loads(shown.stdout)} == {
        ("write", topics.TOUCHPOINTS.name),
        ("write", topics.DEAD_LETTERS.name),
    }
    assert held(load(kafka.settings(ADMIN)), "User:nobody") == []


@pytest.mark.parametrize("security", ["SSL", "SASL_PLAINTEXT"])
def test_a_client_certificate_or_a_login_without_tls_do_as_well(
    kafka: SecuredKafka, tmp_path: Path, security: str
) -> None:
    mechanism = {"JOURNEY_KAFKA_MECHANISM": "PLAIN"} if security == "SASL_PLAINTEXT" else {}
    settings = kafka.settings("web", security) | mechanism
    file = write_ndjson(
        tmp_path / "touchpoints.ndjson", [touchpoint(occurred_at="2026-06-01T08:30:00Z")]
    )
    done = run(tmp_path, settings, "import", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["published"] == 1


def without(settings: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in settings.items() if name not in names}


def refusals(kafka: SecuredKafka, folder: Path) -> dict[str, tuple[dict[str, str], str]]:
    """What is wrong -> settings, and what is said of it."""
    right = kafka.settings("operator")
    certified = kafka.settings("operator", "SSL")
    theirs = Authority(folder, "theirs").sign("operator")
    login = ("JOURNEY_KAFKA_USERNAME", "JOURNEY_KAFKA_PASSWORD")
    client = ("JOURNEY_KAFKA_CERTIFICATE", "JOURNEY_KAFKA_KEY")
    return {
        "password": (
            right | {"JOURNEY_KAFKA_PASSWORD": "wrong"},
            "refuses the login of operator: set JOURNEY_KAFKA_USERNAME and JOURNEY_KAFKA_PASSWORD",
        ),
        "unknown CA": (without(right, "JOURNEY_KAFKA_CA"), "not trusted (unable to get local iss"),
        "plaintext": (
            without(right, "JOURNEY_KAFKA_CA", "JOURNEY_KAFKA_SECURITY", *login),
            "speaks TLS: set JOURNEY_KAFKA_SECURITY to SSL or SASL_SSL",
        ),
        "TLS to plaintext": (
            right | {"JOURNEY_KAFKA": f"127.0.0.1:{kafka.ports['SASL_PLAINTEXT']}"},
            "does not speak TLS: set JOURNEY_KAFKA_SECURITY",
        ),
        "no login": (
            without(right, *login) | {"JOURNEY_KAFKA_SECURITY": "SSL"},
            "wants a login: set JOURNEY_KAFKA_SECURITY to SASL_SSL",
        ),
        "mechanism": (
            right | {"JOURNEY_KAFKA_MECHANISM": "SCRAM-SHA-256"},
            "does not know SCRAM-SHA-256: set JOURNEY_KAFKA_MECHANISM",
        ),
        "no client certificate": (
            without(certified, *client),
            "wants another client certificate: set JOURNEY_KAFKA_CERTIFICATE",
        ),
        "client certificate of another CA": (
            certified | dict(zip(client, map(str, theirs[:2]), strict=True)),
            "wants another client certificate: set JOURNEY_KAFKA_CERTIFICATE",
        ),
        "a login at a door without": (
            certified
            | {name: right[name] for name in login}
            | {"JOURNEY_KAFKA_SECURITY": "SASL_SSL"},
            "takes no login: set JOURNEY_KAFKA_SECURITY to SSL or PLAINTEXT",
        ),
    }


def test_what_is_refused_says_why_and_names_the_setting(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    for fault, (settings, said) in refusals(kafka, tmp_path).items():
        why = why_unreachable(load(settings))
        assert why.startswith(f"Kafka at {settings['JOURNEY_KAFKA']} "), fault
        assert said in why, fault
        assert "\n" not in why, fault


def test_verbs_and_processes_say_it_in_one_line_and_fail(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    file = write_ndjson(tmp_path / "touchpoints.ndjson", [touchpoint()])
    wrong = refusals(kafka, tmp_path)
    attempts = {
        ("acls", "show", "User:web"): "password",
        ("import", str(file)): "password",
        ("worker",): "unknown CA",
        ("sink",): "plaintext",
    }
    started = {
        verb: subprocess.Popen(
            [COMMAND, *verb],
            env=environ(tmp_path, **wrong[fault][0]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for verb, fault in attempts.items()
    }
    for verb, process in started.items():
        _, errors = process.communicate(timeout=120)
        lines = [line for line in errors.splitlines() if " aiokafka" not in line]
        assert process.returncode == 1, errors
        assert len(lines) == 1, errors
        assert wrong[attempts[verb]][1] in lines[0]


@pytest.mark.parametrize(("verb", "user"), [("worker", "sink"), ("sink", "worker")])
def test_who_lacks_a_right_ends_with_a_line_that_gives_it(
    kafka: SecuredKafka, clickhouse_url: str, tmp_path: Path, verb: str, user: str
) -> None:
    database = {"JOURNEY_CLICKHOUSE": clickhouse_url}
    done = run(tmp_path, kafka.settings("operator") | database, "setup")
    assert done.returncode == 0, done.stderr
    done = run(tmp_path, kafka.settings(user) | database, verb)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert " does not let us " in last
    assert last.endswith(f"give the rights with `journey acls grant {verb} User:{user}`")


@pytest.mark.parametrize("verb", [["--debug", "acls", "show", "User:web"], ["worker"], ["sink"]])
def test_no_password_is_in_what_they_print(
    kafka: SecuredKafka, tmp_path: Path, verb: list[str]
) -> None:
    settings = kafka.settings("nobody")
    done = run(tmp_path, settings | {"JOURNEY_KAFKA_PASSWORD": "wrong-marked"}, *verb)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == ("--debug" in verb)
    assert "marked" not in done.stdout + done.stderr
