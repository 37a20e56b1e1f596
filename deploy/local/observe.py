"""Prometheus and Alertmanager of the local stack: Debian's programs on the deployment's own files.

Rules are read where they stand, in `deploy/prometheus/rules`. Of the two configurations only what
depends on the machine is replaced: where the parts listen, and which file has the token.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

DEPLOY: Final = Path(__file__).parents[1]
TOKEN: Final = "receiver.token"  # noqa: S105
_CONFIGS: Final = {"prometheus": "prometheus.yaml", "alertmanager": "alertmanager.yaml"}
# part -> its program, as Debian calls it and as its makers do
_PROGRAMS: Final = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
}
PARTS: Final = tuple(_PROGRAMS)


class ObserverMissing(Exception):
    """Prometheus or Alertmanager is not on this machine; the message says how to get them."""


def programs() -> dict[str, str]:
    """Part to the path of its program. Raises ObserverMissing."""
    found = {}
    for part, names in _PROGRAMS.items():
        paths = filter(None, (shutil.which(name) for name in names))
        path = next(paths, None)
        if path is None:
            raise ObserverMissing(
                f"--observe: {part} is not installed: "
                "apt-get install prometheus prometheus-alertmanager"
            )
        found[part] = path
    return found


def configure(
    folder: Path, host: str, ports: Mapping[str, int], targets: Mapping[str, list[int]]
) -> None:
    """Write the configuration of both parts into folders of their names.

    `ports` are where Prometheus, Alertmanager and the receiver listen; `targets` are the ports of
    the metrics of each job.
    """
    at = {part: f"{host}:{port}" for part, port in ports.items()}
    scraped = {job: [f"{host}:{port}" for port in found] for job, found in targets.items()}
    scraped["prometheus"] = [at["prometheus"]]
    prometheus = _read("prometheus")
    prometheus["rule_files"] = [
        str(DEPLOY / "prometheus" / name) for name in prometheus["rule_files"]
    ]
    prometheus["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [at["alertmanager"]]}]}
    ]
    prometheus["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": scraped[job["job_name"]]}]}
        for job in prometheus["scrape_configs"]
        if job["job_name"] in scraped
    ]
    alertmanager = _read("alertmanager")
    for receiver in alertmanager["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = f"http://{at['receiver']}{hook['url'][hook['url'].rindex('/') :]}"
            hook["http_config"]["authorization"]["credentials_file"] = str(folder / TOKEN)
    for part, written in (("prometheus", prometheus), ("alertmanager", alertmanager)):
        (folder / part).mkdir(exist_ok=True)
        (folder / part / _CONFIGS[part]).write_text(yaml.safe_dump(written, sort_keys=False))


def command(part: str, program: str, folder: Path, host: str, port: int) -> list[str]:
    """Command line of a part that is configured in a data folder."""
    home = folder / part
    common = [
        program,
        f"--config.file={home / _CONFIGS[part]}",
        f"--web.listen-address={host}:{port}",
        "--log.level=warn",
    ]
    if part == "prometheus":
        return [*common, f"--storage.tsdb.path={home / 'data'}"]
    # One of its own: it is not to look for others.
    return [*common, f"--storage.path={home / 'data'}", "--cluster.listen-address="]


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / part / _CONFIGS[part]).read_text())
    return found
