"""deploy/'s files against the schemas of those who will read them, fetched by `make manifests`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kafka.acls import ROLES

DEPLOY = Path(__file__).parents[2] / "deploy"
SCHEMAS = Path(os.environ.get("JOURNEY_SCHEMAS", ".schemas"))
# No registry of ours has the schemas of Altinity's operator: these were checked by hand, once.
UNCHECKED = {"ClickHouseInstallation", "ClickHouseKeeperInstallation"}
pytestmark = pytest.mark.manifests


def resources() -> Iterator[Any]:
    files = [*(DEPLOY / "kubernetes").glob("*.yaml"), DEPLOY / "grafana" / "kubernetes.yaml"]
    for file in sorted(files):
        for resource in yaml.safe_load_all(file.read_text()):
            name = resource.get("metadata", {}).get("name", "")
            folder = file.parent.name
            yield pytest.param(resource, id=f"{folder}-{file.stem}-{resource['kind']}-{name}")


@pytest.fixture(scope="module")
def custom() -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) to the schema of a custom resource, fields it does not know refused."""
    schemas = {}
    for file in SCHEMAS.glob("*.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            for field in ("apiVersion", "kind", "metadata"):
                schema["properties"].setdefault(field, {})
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = _closed(schema)
    return schemas


def _closed(schema: Any) -> Any:
    """As the API server reads it: unknown fields are errors, int-or-string is either."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    open_to_all = closed.get("x-kubernetes-preserve-unknown-fields") or not closed.get("properties")
    if closed.get("type") == "object" and not open_to_all:
        closed.setdefault("additionalProperties", False)
        closed["properties"] = {"metadata": {}, **closed["properties"]}
    return closed


@pytest.mark.parametrize("resource", list(resources()))
def test_resource_is_what_its_reader_takes(
    resource: dict[str, Any], custom: dict[tuple[str, str], dict[str, Any]]
) -> None:
    kind = resource["kind"]
    if kind == "Kustomization":
        listed = set(resource["resources"])
        assert listed == {"../grafana"} | {
            f.name for f in (DEPLOY / "kubernetes").glob("*.yaml")
        } - {"kustomization.yaml"}
    elif schema := custom.get((resource["apiVersion"], kind)):
        jsonschema.Draft7Validator(schema).validate(resource)
    elif kind not in UNCHECKED:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)


def test_a_misspelt_field_is_found(custom: dict[tuple[str, str], dict[str, Any]]) -> None:
    schema = custom["keda.sh/v1alpha1", "ScaledObject"]
    trigger = {"type": "kafka", "metadata": {}}
    wrong = {
        "spec": {"scaleTargetRef": {"name": "worker"}, "triggers": [trigger], "maxReplicas": 3}
    }
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        jsonschema.Draft7Validator(schema).validate(wrong)


def loaded(name: str) -> dict[str, Any]:
    """Kind to resource of one of our files."""
    file = DEPLOY / "kubernetes" / name
    return {found["kind"]: found for found in yaml.safe_load_all(file.read_text())}


def test_workers_keep_their_state_on_a_volume_of_their_own() -> None:
    workers = loaded("worker.yaml")["StatefulSet"]["spec"]
    (container,) = workers["template"]["spec"]["containers"]
    state = {one["name"]: one.get("value", "") for one in container["env"]}["JOURNEY_STATE"]
    owned = {claim["metadata"]["name"] for claim in workers["volumeClaimTemplates"]}
    mounted = [m["mountPath"] for m in container["volumeMounts"] if m["name"] in owned]
    assert any(Path(state).is_relative_to(path) for path in mounted)
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (volume,) = re.findall(r"^VOLUME (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    told = compose["services"]["worker"]["environment"]
    assert Path(told["JOURNEY_STATE"]).is_relative_to(volume)
    assert told.items() > compose["services"]["sink"]["environment"].items()


def test_what_the_files_say_twice_is_the_same() -> None:
    settings = loaded("settings.yaml")["ConfigMap"]["data"]
    scaled = loaded("worker.yaml")["ScaledObject"]["spec"]
    assert str(scaled["maxReplicaCount"]) == settings["JOURNEY_PARTITIONS"]
    installation = loaded("clickhouse.yaml")["ClickHouseInstallation"]
    (cluster,) = installation["spec"]["configuration"]["clusters"]
    assert cluster["name"] == settings["JOURNEY_CLICKHOUSE_CLUSTER"]
    keeper = loaded("clickhouse.yaml")["ClickHouseKeeperInstallation"]["metadata"]["name"]
    (node,) = installation["spec"]["configuration"]["zookeeper"]["nodes"]
    assert node["host"] == f"keeper-{keeper}"
    pod = loaded("backup.yaml")["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (command,) = pod["containers"][0]["args"]
    assert f"ON CLUSTER {cluster['name']} TO Disk('backups'," in command
    assert installation["spec"]["configuration"]["settings"]["backups/allowed_disk"] == "backups"


@pytest.mark.parametrize("file", ["worker.yaml", "sink.yaml"])
def test_long_lived_pods_are_asked_limited_spread_and_not_all_taken_at_once(file: str) -> None:
    found = loaded(file)
    kind = "StatefulSet" if "StatefulSet" in found else "Deployment"
    pod = found[kind]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probes = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert list(probes.values()) == ["/live", "/live", "/ready"]
    assert container["resources"]["limits"]["memory"]
    labels = found[kind]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        pod["topologySpreadConstraints"][0]["labelSelector"],
        found["PodDisruptionBudget"]["spec"]["selector"],
        {"matchLabels": found["Service"]["spec"]["selector"]},
    ):
        assert selector["matchLabels"].items() <= labels.items()


def test_compose_file_is_what_compose_takes() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    schema = json.loads((SCHEMAS / "compose.json").read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(compose)


def test_every_image_is_pinned() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    images = [service["image"] for service in compose["services"].values()]
    for file in ("clickhouse.yaml", "backup.yaml"):
        images += re.findall(r"image: (\S+)", (DEPLOY / "kubernetes" / file).read_text())
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.search(r":v?\d|:\$\{JOURNEY_VERSION", image), image


def test_files_that_compose_mounts_exist() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"


# user in kafka-users.yaml -> the role whose permissions it has
_USERS = {
    "journey-producer": "producer",
    "journey-worker": "worker",
    "journey-sink": "sink",
    "journey-receiver": "receiver",
    "journey-dispatch": "dispatch",
    "journey-admin": "operator",
}


def test_kafka_users_have_what_their_roles_need() -> None:
    file = DEPLOY / "kubernetes" / "kafka-users.yaml"
    allowed = {
        user["metadata"]["name"]: {
            (operation.lower(), acl["resource"]["type"], acl["resource"]["name"])
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
        }
        for user in yaml.safe_load_all(file.read_text())
    }
    for name, role in _USERS.items():
        needed = {(p.operation.replace("_", ""), p.resource, p.name) for p in ROLES[role]}
        assert allowed[name] == needed
    assert {operation for operation, _, _ in allowed["journey-scaler"]} == {"describe"}
