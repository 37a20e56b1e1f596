"""What the local stack gives Prometheus and Alertmanager: the deployment's files, its ports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import observe

PORTS = {"prometheus": 1, "alertmanager": 2, "receiver": 3}
TARGETS = {"worker": [4, 5], "sink": [6], "receiver": [7]}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def test_prometheus_reads_the_rules_where_they_stand_and_scrapes_this_stack(tmp_path: Path) -> None:
    observe.configure(tmp_path, "127.0.0.1", PORTS, TARGETS)
    found = read(tmp_path / "prometheus" / "prometheus.yaml")
    deployed = read(observe.DEPLOY / "prometheus" / "prometheus.yaml")
    assert found["global"] == deployed["global"]
    assert found["rule_files"] == [str(observe.DEPLOY / "prometheus" / "rules/*.yaml")]
    jobs = {one["job_name"]: one["static_configs"][0]["targets"] for one in found["scrape_configs"]}
    assert jobs == {
        "worker": ["127.0.0.1:4", "127.0.0.1:5"],
        "sink": ["127.0.0.1:6"],
        "receiver": ["127.0.0.1:7"],
        "prometheus": ["127.0.0.1:1"],
    }
    assert "127.0.0.1:2" in str(found["alerting"])


def test_alertmanager_has_its_routes_and_shows_the_token_of_the_folder(tmp_path: Path) -> None:
    observe.configure(tmp_path, "127.0.0.1", PORTS, TARGETS)
    found = read(tmp_path / "alertmanager" / "alertmanager.yaml")
    deployed = read(observe.DEPLOY / "alertmanager" / "alertmanager.yaml")
    for key in ("route", "inhibit_rules"):
        assert found[key] == deployed[key]
    (hook,) = next(one for one in found["receivers"] if one["name"] == "outreach")[
        "webhook_configs"
    ]
    assert hook["url"] == "http://127.0.0.1:3/alerts"
    token = hook["http_config"]["authorization"]["credentials_file"]
    assert token == str(tmp_path / observe.TOKEN)


def test_they_listen_on_loopback_only(tmp_path: Path) -> None:
    for part in observe.PARTS:
        line = observe.command(part, "program", tmp_path, "127.0.0.1", 9)
        assert "--web.listen-address=127.0.0.1:9" in line
    assert "--cluster.listen-address=" in line


def test_what_is_not_installed_is_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(observe.ObserverMissing, match="prometheus is not installed: apt-get insta"):
        observe.programs()
    for part, names in (("prometheus", "prometheus"), ("alertmanager", "alertmanager")):
        program = tmp_path / names
        program.touch(mode=0o755)
        if part == "prometheus":
            with pytest.raises(observe.ObserverMissing, match="alertmanager is not installed"):
                observe.programs()
    assert observe.programs() == {part: str(tmp_path / part) for part in observe.PARTS}
