"""Settings: what fills them, and errors that name the variable and the fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.settings import Settings, SettingsError, load


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
