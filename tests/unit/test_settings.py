"""Settings: what fills them, and errors that name the variable and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from schemas.settings import Settings, SettingsError, load
from streams.security import client_options
from tests.certificates import Authority


def recorded(folder: Path, **settings: object) -> Path:
    (folder / "stack.json").write_text(json.dumps({"settings": settings}))
    return folder


def test_the_environment_wins_over_the_stack_recorded_in_the_data_folder(tmp_path: Path) -> None:
    recorded(tmp_path, kafka="127.0.0.1:1", partitions=7)
    found = load({"JOURNEY_DATA": str(tmp_path), "JOURNEY_KAFKA": "kafka:9092", "HOME": "/"})
    assert (found.kafka, found.partitions, found.data) == ("kafka:9092", 7, tmp_path)


def test_a_folder_named_wins_over_the_environment(tmp_path: Path) -> None:
    recorded(tmp_path, kafka="127.0.0.1:1")
    assert load({"JOURNEY_DATA": "/elsewhere"}, data=tmp_path).kafka == "127.0.0.1:1"


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert load({}, data=tmp_path) == Settings(data=tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("JOURNEY_PARTITIONS", "0", "greater than or equal to 1"),
        ("JOURNEY_PARTITIONS", "many", "valid integer"),
        ("JOURNEY_PHONE_REGION", "iran", "[A-Z]{2}"),
        ("JOURNEY_METRICS_PORT", "65536", "less than or equal to 65535"),
        ("JOURNEY_KAFKAA", "kafka:9092", "known settings: JOURNEY_DATA, JOURNEY_KAFKA,"),
    ],
)
def test_a_wrong_setting_is_named_with_the_fix(
    tmp_path: Path, name: str, value: str, fix: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: value}, data=tmp_path)
    message = str(refused.value)
    assert message.startswith(f"{name}: ")
    assert fix in message
    assert "\n" not in message


def test_secrets_do_not_show(tmp_path: Path) -> None:
    found = load(
        {"JOURNEY_CLICKHOUSE": "clickhouse://u:pw@db/j", "JOURNEY_IDENTITY_KEY": "k3y"}, tmp_path
    )
    assert "pw" not in repr(found)
    assert "k3y" not in repr(found)


def test_the_identity_key_is_the_setting_or_else_the_folders(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"JOURNEY_IDENTITY_KEY is not set.*journey up"):
        load({}, data=tmp_path).identity_key_bytes()
    (tmp_path / "identity.key").write_text("folder's\n")
    assert load({}, data=tmp_path).identity_key_bytes() == b"folder's"
    assert load({"JOURNEY_IDENTITY_KEY": "own"}, tmp_path).identity_key_bytes() == b"own"


def test_a_stack_file_that_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"settings"')
    with pytest.raises(SettingsError, match=r"stack\.json.*remove it"):
        load({}, data=tmp_path)


LOGIN = {"JOURNEY_KAFKA_USERNAME": "u", "JOURNEY_KAFKA_PASSWORD": "marked"}


@pytest.mark.parametrize(
    ("given", "named", "fix"),
    [
        ({"SECURITY": "TLS"}, "SECURITY", "'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or 'SASL_SSL'"),
        ({"SECURITY": "SASL_SSL", "USERNAME": "u"}, "PASSWORD", "SECURITY=SASL_SSL needs it"),
        ({"SECURITY": "SASL_SSL", "PASSWORD": "marked"}, "USERNAME", "SECURITY=SASL_SSL needs it"),
        ({"USERNAME": "u", "PASSWORD": "marked"}, "USERNAME", "set that to SASL_SSL, or unset"),
        ({"SECURITY": "SSL", "PASSWORD": "marked"}, "PASSWORD", "set that to SASL_SSL, or unset"),
        ({"CA": "ca.pem"}, "CA", "set that to SSL, or unset JOURNEY_KAFKA_CA"),
        ({"SECURITY": "SSL", "CERTIFICATE": "c.pem"}, "KEY", "JOURNEY_KAFKA_CERTIFICATE needs it"),
        ({"SECURITY": "SSL", "KEY": "k.pem"}, "CERTIFICATE", "JOURNEY_KAFKA_KEY needs it"),
        ({"SECURITY": "SSL", "CA": "none.pem"}, "CA=none.pem", "No such file"),
        ({"SECURITY": "SSL", "CA": __file__}, f"CA={__file__}", "not valid PEM"),
        (
            {"SECURITY": "SSL", "CERTIFICATE": "none.pem", "KEY": "none.pem"},
            "CERTIFICATE=none.pem",
            "No such file",
        ),
    ],
)
def test_settings_of_kafka_that_do_not_go_together_are_named(
    tmp_path: Path, given: dict[str, str], named: str, fix: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load({f"JOURNEY_KAFKA_{name}": value for name, value in given.items()}, data=tmp_path)
    message = str(refused.value)
    assert message.startswith(f"JOURNEY_KAFKA_{named}")
    assert fix in message
    assert "\n" not in message
    assert "marked" not in message


def test_a_key_must_be_that_of_the_certificate_and_not_encrypted(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "ours")
    one, other = ours.sign("one"), ours.sign("other")
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        load_pem_private_key(one.key.read_bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    for key in (other.key, locked):
        given = {"SECURITY": "SSL", "CERTIFICATE": str(one.certificate), "KEY": str(key)}
        with pytest.raises(SettingsError, match=r"JOURNEY_KAFKA_KEY=.*its own unencrypted key"):
            load({f"JOURNEY_KAFKA_{name}": value for name, value in given.items()}, tmp_path)


def test_no_login_reaches_a_log_by_its_settings(tmp_path: Path) -> None:
    found = load(LOGIN | {"JOURNEY_KAFKA_SECURITY": "SASL_PLAINTEXT"}, tmp_path)
    assert "marked" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert client_options(found)["sasl_plain_password"] == "marked"
