"""The objects for KServe are what its models accept; the container that it makes of them answers its clients."""

import copy
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from demo.processes import ROOT, free_port, running, spawn
from predictor.keys import line_of
from predictor.settings import Settings, variable
from predictor.settings_checks import check_exposure
from tests.end_to_end.parts import Registry, wait_until
from tests.required import environment

FOLDER = ROOT / "deploy/kserve"
KEY, OPERATIONS_KEY = "a-key-for-a-kserve-client", "a-key-for-prometheus"
# The lists whose entries Kubernetes merges, each with the field that identifies an entry.
MERGED_BY = {
    "env": "name",
    "ports": "containerPort",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
# After PREDICTOR_SHUTDOWN_SECONDS the server ends the process itself within these.
LAST_SECONDS = 4
# A pod's and a container's fields that Knative refuses:
# https://github.com/knative/serving/blob/main/pkg/apis/serving/fieldmask.go
NOT_ON_KNATIVE = {
    "lifecycle", "terminationGracePeriodSeconds", "securityContext", "affinity", "dnsPolicy",
    "topologySpreadConstraints", "initContainers", "hostNetwork", "priorityClassName",
}  # fmt: skip
NOT_OF_THE_POD = {
    "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "model",
}  # fmt: skip
NOT_OF_THE_CONTAINER = {"runtime", "modelFormat", "protocolVersion"}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


RUNTIME = read("clusterservingruntime.yaml")
SERVICES = {
    "Standard": read("inferenceservice.yaml"),
    "Knative": read("inferenceservice-knative.yaml"),
}


def merge(below: Any, above: Any, field: str = "") -> Any:
    """Kubernetes' strategic merge, by which KServe lays an InferenceService over its runtime."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            name: merge(below.get(name), above.get(name), name)
            for name in [*below, *(each for each in above if each not in below)]
        }
    if isinstance(below, list) and isinstance(above, list) and (key := MERGED_BY.get(field)):
        entries = {each[key]: each for each in below}
        for each in above:
            entries[each[key]] = merge(entries.get(each[key]), each)
        return list(entries.values())
    return below if above is None else above


@dataclass(frozen=True)
class Deployed:
    """What KServe's controller makes of the runtime and of one InferenceService."""

    mode: str

    @property
    def service(self) -> dict[str, Any]:
        return SERVICES[self.mode]

    @property
    def predictor(self) -> dict[str, Any]:
        return self.service["spec"]["predictor"]

    @property
    def pod(self) -> dict[str, Any]:
        pod = {name: v for name, v in self.predictor.items() if name not in NOT_OF_THE_POD}
        return merge(
            {"volumes": RUNTIME["spec"]["volumes"]}, {**pod, "containers": [self.container]}
        )

    @property
    def container(self) -> dict[str, Any]:
        (container,) = RUNTIME["spec"]["containers"]
        model = self.predictor["model"]
        return merge(
            copy.deepcopy(container),
            {name: value for name, value in model.items() if name not in NOT_OF_THE_CONTAINER},
        )

    @property
    def variables(self) -> dict[str, Any]:
        """Name to value, or to where the value comes from, with the cluster's own variables."""
        own = {
            each["name"]: each.get("value", each.get("valueFrom")) for each in self.container["env"]
        }
        own["INFERENCE_SERVICE_NAME"] = self.service["metadata"]["name"]
        if self.mode == "Knative":
            # https://github.com/knative/specs/blob/main/specs/serving/runtime-contract.md#process
            own |= {"PORT": "8080", "K_SERVICE": "s", "K_REVISION": "s-1", "K_CONFIGURATION": "s"}
        return own

    @property
    def probes(self) -> dict[str, Any]:
        return {name: each for name, each in self.container.items() if name.endswith("Probe")}


@pytest.fixture(params=SERVICES)
def deployed(request) -> Deployed:
    return Deployed(request.param)


def through_kserve(*objects: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects as KServe's own models read and write them."""
    ran = subprocess.run(
        [environment("clients"), Path(__file__).with_name("kserve_objects.py")],
        input=json.dumps(objects), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.whole
def test_kserves_models_know_every_field():
    """Nothing is lost by its models of both kinds of object, and a misspelled field would be."""
    wrong = copy.deepcopy(SERVICES["Standard"])
    wrong["spec"]["predictor"]["model"]["modelFormats"] = []
    wrong["spec"]["predictor"]["minimumReplicas"] = 2
    objects = [RUNTIME, *SERVICES.values()]
    *found, misspelled = through_kserve(*objects, wrong)
    assert found == objects
    assert misspelled == SERVICES["Standard"]


@pytest.mark.whole
def test_the_pod_is_valid(deployed):
    """Kubernetes accepts the pod that KServe makes."""
    import kubernetes_validate

    labels = {"app": "isvc.breast-cancer-predictor"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "breast-cancer-predictor"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": deployed.pod},
        },
    }
    kubernetes_validate.validate(deployment, "1.30", strict=True)


def test_the_service_chooses_the_runtime(deployed):
    """Name, format and protocol agree, and nothing lets KServe fetch a model or choose this runtime for another."""
    model, spec = deployed.predictor["model"], RUNTIME["spec"]
    assert model["runtime"] == RUNTIME["metadata"]["name"]
    (supported,) = spec["supportedModelFormats"]
    assert model["modelFormat"].items() <= supported.items()
    assert supported["name"] == "mlflow-hotswap", "`mlflow` or `onnx` would attract other models"
    assert model["protocolVersion"] in spec["protocolVersions"] == ["v2", "grpc-v2"]
    assert not {"storageUri", "storage", "args", "command"} & {*model, *deployed.container}
    assert deployed.container["name"] == "kserve-container"
    named = re.fullmatch("models:/(.+)/Production", deployed.variables["PREDICTOR_MODEL_URI"])
    assert named[1] == deployed.service["metadata"]["name"]


def test_all_parts_use_the_same_ports(deployed):
    """Settings, ports, probes, metrics and Knative's PORT."""
    variables = deployed.variables
    rest, grpc = (variables[name] for name in ("PREDICTOR_PORT", "PREDICTOR_GRPC_PORT"))
    assert variables.get("PORT", rest) == rest == "8080", "KServe's default without ports"
    assert variables["PREDICTOR_HOST"] == "0.0.0.0"
    assert {str(each["httpGet"]["port"]) for each in deployed.probes.values()} == {rest}
    assert RUNTIME["spec"]["annotations"]["prometheus.kserve.io/port"] == rest
    ports = [(each["name"], each["containerPort"]) for each in deployed.container.get("ports", [])]
    if deployed.mode == "Standard":
        assert ports == [("http1", int(rest)), ("h2c", int(grpc))]
    else:
        assert ports == [], "with more than one, Knative refuses the service"


def test_knative_accepts_every_field():
    """It refuses an object with one of these, instead of ignoring it."""
    deployed = Deployed("Knative")
    assert not NOT_ON_KNATIVE & {*deployed.pod}
    assert not {"lifecycle", "stdin", "tty"} & {*deployed.container}
    assert deployed.predictor["minReplicas"] > 0, "a pod from zero needs MLflow to start"


def test_a_pod_has_time_to_end():
    """Kubernetes kills it after the process would have ended by itself. Knative has times of its own."""
    deployed = Deployed("Standard")
    pause = deployed.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    shutdown = Settings.model_fields["shutdown_seconds"].default
    assert deployed.pod["terminationGracePeriodSeconds"] > pause + shutdown + LAST_SECONDS
    assert deployed.predictor["deploymentStrategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_pod_has_the_fewest_privileges(deployed):
    """Pod Security's level restricted by the container's fields alone, and a read-only root file system."""
    assert deployed.container["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    assert deployed.pod["automountServiceAccountToken"] is False


def test_the_runtime_agrees_with_the_base(deployed):
    """Probes, resources and volumes are those of the Deployment in deploy/kubernetes/base."""
    (base,) = yaml.safe_load_all((ROOT / "deploy/kubernetes/base/deployment.yaml").read_text())
    pod = base["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for name in ("resources", "volumeMounts"):
        assert deployed.container[name] == container[name]
    for name, probe in deployed.probes.items():
        same = {**container[name], "httpGet": {**container[name]["httpGet"], "port": 8080}}
        assert probe == same, name
    theirs = copy.deepcopy(pod["volumes"])
    theirs[1]["projected"]["defaultMode"] = 0o444  # no fsGroup
    assert deployed.pod["volumes"] == theirs


def test_every_variable_is_a_setting_and_accepted(deployed, monkeypatch):
    """A misspelled variable would be ignored, and its default used in silence."""
    ours = {
        name: v for name, v in deployed.variables.items() if re.match("PREDICTOR_|MLFLOW_", name)
    }
    assert {*ours} <= {variable(name) for name in Settings.model_fields}
    for name, value in deployed.variables.items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = Settings.read()
    (cache,) = (e for e in deployed.container["volumeMounts"] if e["name"] == "cache")
    assert settings.cache_dir == Path(cache["mountPath"])
    check_exposure(settings)


def test_kustomize_sets_the_images_tag():
    """The kustomization has both objects, and its image is the runtime's."""
    kubectl = Path(sys.executable).parent / "kubectl"
    ran = subprocess.run(
        [kubectl, "kustomize", FOLDER], capture_output=True, text=True, timeout=60, check=True
    )
    objects = {each["kind"]: each for each in yaml.safe_load_all(ran.stdout)}
    assert {*objects} == {"ClusterServingRuntime", "InferenceService"}
    (container,) = objects["ClusterServingRuntime"]["spec"]["containers"]
    image = RUNTIME["spec"]["containers"][0]["image"]
    assert re.fullmatch(re.escape(image) + r":\d+\.\d+\.\d+", container["image"])


@pytest.mark.whole
def test_the_container_answers_kserves_clients(deployed, registry: Registry, tmp_path):
    """Its command with its variables, as a process: the probes, then a prediction by REST and gRPC."""
    rest, grpc = free_port(), free_port()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "api_keys").write_text(f"{line_of('kserve', KEY)}\n")
    (secrets / "operations_keys").write_text(f"{line_of('prometheus', OPERATIONS_KEY)}\n")
    (secrets / "webhook_secret").write_text("a-secret-of-a-webhook")
    here = {
        "8080": str(rest), "9000": str(grpc), "/run/secrets/predictor": str(secrets),
        "/var/cache/mlflow-hotswap": str(tmp_path / "cache"),
    }  # fmt: skip
    env = {
        name: re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], value)
        for name, value in deployed.variables.items()
        if isinstance(value, str)
    }
    env["MLFLOW_TRACKING_URI"] = registry.url
    env["PREDICTOR_MODEL_URI"] = f"models:/{registry.name}/Production"
    url = f"http://127.0.0.1:{rest}"
    child = spawn(command(deployed), url, tmp_path / "predictor.log", env)
    with running(child), httpx.Client(base_url=url) as client:
        answers = probe(client, deployed)
        assert answers == {"startupProbe": 200, "readinessProbe": 503, "livenessProbe": 200}
        registry.stage("1", "Production")
        wait_until(lambda: set(probe(client, deployed).values()) == {200}, "the pod is ready")
        record = client.get("/openapi.json").json()["components"]["schemas"]["Record"]["example"]
        metrics = RUNTIME["spec"]["annotations"]["prometheus.kserve.io/path"]
        bearer = {"authorization": f"Bearer {OPERATIONS_KEY}"}
        assert client.get(metrics, headers=bearer).status_code == 200
        address = f"127.0.0.1:{grpc}" if deployed.mode == "Standard" else ""
        predicted = predictions(url, address, registry.name, list(record.values()))
    expected = registry.reference("1").probabilities(record)
    best = max(expected, key=lambda label: expected[label])
    for protocol in ("rest", "grpc") if address else ("rest",):
        assert predicted[protocol]["label"] == [best]
        assert predicted[protocol]["probabilities"] == [
            pytest.approx(list(expected.values()), abs=1e-6)
        ]
        assert predicted["ready"] is predicted.get("grpc ready", True) is True


def command(deployed: Deployed) -> list[str]:
    """The image's command, by this Python: the container has none of its own."""
    assert not {"command", "args"} & {*deployed.container}
    entry = re.findall(r"^ENTRYPOINT (\[.+\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    python, *arguments = json.loads(entry[-1])
    assert shlex.join([python, *arguments]) == "python -m predictor"
    return [sys.executable, *arguments]


def probe(client: httpx.Client, deployed: Deployed) -> dict[str, int]:
    """What each probe gets, without a key, as the kubelet sends it."""
    return {
        name: client.get(each["httpGet"]["path"]).status_code
        for name, each in deployed.probes.items()
    }


def predictions(rest: str, grpc: str, model: str, row: list[float]) -> dict[str, Any]:
    script = Path(__file__).with_name("kserve_predictions.py")
    ran = subprocess.run(
        [environment("clients"), script, rest, grpc, model, KEY, json.dumps(row)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
