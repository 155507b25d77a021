"""The overlay with the registry gateway: the only way to MLflow, which only the gateway has credentials for."""

import re
from typing import Any

import pytest
from packaging.version import Version

from demo.processes import ROOT
from scale.gateway import TEMPLATES
from tests.deploy.test_kubernetes import OLDEST, render

NAME = {"app.kubernetes.io/name": "gateway"}
Object = dict[str, Any]


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return render("overlays/gateway").objects


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The object of this kind and name; a ConfigMap's name ends in a digest."""
    (found,) = [
        each
        for each in objects
        if each["kind"] == kind
        and re.fullmatch(rf"{name}(-[a-z0-9]{{10}})?", each["metadata"]["name"])
    ]
    return found


def pod(objects: list[Object], name: str) -> Object:
    return dict(named(objects, "Deployment", name)["spec"]["template"]["spec"])


@pytest.mark.whole
def test_every_object_is_valid(objects: list[Object]) -> None:
    """In any version from the oldest promised on, and in the namespace of the predictors."""
    import kubernetes_validate

    versions = [
        each for each in kubernetes_validate.utils.all_versions() if Version(each) >= OLDEST
    ]
    for version in versions:
        for each in objects:
            if each["apiVersion"] != "monitoring.coreos.com/v1":
                kubernetes_validate.validate(each, version, strict=True)
    places = {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"}
    assert places == {"mlflow-hotswap"}


def test_predictors_reach_mlflow_through_the_gateway_only(objects: list[Object]) -> None:
    """Out of a predictor: the gateway and DNS. Out of the gateway: MLflow and DNS. Into it: predictors."""
    predictor = named(objects, "NetworkPolicy", "predictor")["spec"]
    gateway = named(objects, "NetworkPolicy", "gateway")["spec"]
    service = named(objects, "Service", "gateway")["spec"]
    (port,) = service["ports"]
    to_gateway, names = predictor["egress"]
    assert to_gateway["to"] == [{"podSelector": {"matchLabels": NAME}}]
    assert [each["port"] for each in to_gateway["ports"]] == [port["port"]]
    assert "mlflow" not in str(names)
    (from_predictors,) = gateway["ingress"]
    assert from_predictors["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "predictor"}}}
    ]
    to_mlflow, gateway_names = gateway["egress"]
    assert gateway_names == names
    settings = named(objects, "ConfigMap", "gateway-settings")["data"]
    mlflow_port = int(settings["MLFLOW_ADDRESS"].rpartition(":")[2])
    assert [each["port"] for each in to_mlflow["ports"]] == [mlflow_port]
    # Webhooks still come from MLflow itself.
    assert to_mlflow["to"] in [rule["from"] for rule in predictor["ingress"]]
    uri = named(objects, "ConfigMap", "predictor-settings")["data"]["MLFLOW_TRACKING_URI"]
    assert uri == f"http://{service['selector']['app.kubernetes.io/name']}:{port['port']}"


def test_only_the_gateway_has_mlflows_credentials(objects: list[Object]) -> None:
    """No variable of a predictor, and no volume, comes from a Secret of the registry."""
    predictor, gateway = pod(objects, "predictor"), pod(objects, "gateway")
    assert not re.search(r"mlflow-credentials|gateway-credentials|MLFLOW_TRACKING_", str(predictor))
    (secret,) = [each["secret"] for each in gateway["volumes"] if "secret" in each]
    assert secret["secretName"] == "gateway-credentials"
    text = (ROOT / "deploy/kubernetes/README.md").read_text()
    assert "| `gateway-credentials` | `credentials.conf` |" in text


def test_it_gets_every_variable_of_the_template(objects: list[Object]) -> None:
    """One that is missing would stay in the configuration, and nginx would not start."""
    data = named(objects, "ConfigMap", "gateway-settings")["data"]
    template = (TEMPLATES / "nginx.conf.template").read_text()
    assert named(objects, "ConfigMap", "gateway-templates")["data"] == {
        "nginx.conf.template": template
    }
    used = {*re.findall(r"\$\{(\w+)\}", template)}
    assert used == {*data} - {"NGINX_ENVSUBST_OUTPUT_DIR"}
    (container,) = pod(objects, "gateway")["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["written"] == data["GATEWAY_FOLDER"] == data["NGINX_ENVSUBST_OUTPUT_DIR"]
    assert data["GATEWAY_CREDENTIALS"].startswith(f"{mounts['credentials']}/")
    assert container["args"][2] == f"{data['GATEWAY_FOLDER']}/nginx.conf"
    (port,) = container["ports"]
    assert str(port["containerPort"]) == data["GATEWAY_PORT"]


def test_it_has_the_fewest_privileges(objects: list[Object]) -> None:
    """Pod Security's level restricted, and a read-only root file system."""
    found = pod(objects, "gateway")
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert found["automountServiceAccountToken"] is False
    (container,) = found["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == "/health"
