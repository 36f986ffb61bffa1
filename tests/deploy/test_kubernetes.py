"""The manifests for Kubernetes: right by the API's own schemas, and right about callbot."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from callbot.server.metrics import ServerMetrics
from callbot.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
DOCUMENTS: list[dict[str, Any]] = [
    document
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]


def the(kind: str, name: str = "callbot") -> dict[str, Any]:
    [found] = [document for document in DOCUMENTS if document["kind"] == kind and document["metadata"]["name"] == name]
    return found


def container() -> dict[str, Any]:
    [found] = the("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{document['kind']}/{document['metadata']['name']}")
def test_each_manifest_is_what_the_api_takes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.37", strict=True)


def test_a_wrong_field_is_found() -> None:
    document = {**the("Service"), "spec": {"selectr": {}}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_kustomization_names_every_manifest() -> None:
    named = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert sorted(named) == sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")


def test_every_setting_is_one_that_callbot_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    data = the("ConfigMap")["data"]
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.service_url == (data["SERVICE_URL"],)
    assert settings.max_calls == int(data["CALLBOT_MAX_CALLS"])
    assert settings.drain_s == float(data["CALLBOT_DRAIN_S"])


def test_kill_comes_after_the_last_call_has_had_its_time() -> None:
    drain_s = float(the("ConfigMap")["data"]["CALLBOT_DRAIN_S"])
    pause_s = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert the("Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drain_s + pause_s + 10


def test_the_autoscaler_counts_by_a_metric_that_there_is() -> None:
    [metric] = the("HorizontalPodAutoscaler")["spec"]["metrics"]
    registry = CollectorRegistry()
    ServerMetrics(registry)
    assert f"\n{metric['pods']['metric']['name']} " in "\n" + generate_latest(registry).decode()
    assert int(metric["pods"]["target"]["averageValue"]) < int(the("ConfigMap")["data"]["CALLBOT_MAX_CALLS"])


def test_what_is_selected_is_what_is_labelled() -> None:
    for name in ("callbot", "valkey"):
        labels = the("Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert the("Deployment", name)["spec"]["selector"]["matchLabels"] == labels
        assert the("Service", name)["spec"]["selector"] == labels
    assert the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": "callbot"}


def test_the_public_paths_are_those_that_twilio_asks_for() -> None:
    [rule] = the("Ingress")["spec"]["rules"]
    assert {path["path"] for path in rule["http"]["paths"]} == {"/twiml", "/twilio", "/ws"}  # /metrics stays inside
