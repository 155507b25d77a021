"""The manifests, rendered by the real kubectl, are valid and agree with the predictor."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from demo.processes import ROOT
from predictor.settings import Settings, variable
from predictor.settings_checks import check_exposure

FOLDER = ROOT / "deploy/kubernetes"
KUBECTL = Path(sys.executable).parent / "kubectl"
# The pause before a pod's end (preStop.sleep) is on by default since then; docs of the manifests say so.
OLDEST = Version("1.30")
NAME = {"app.kubernetes.io/name": "predictor"}
# After PREDICTOR_SHUTDOWN_SECONDS the server ends the process itself within these.
LAST_SECONDS = 4


@dataclass(frozen=True)
class Manifests:
    """What one folder renders to."""

    objects: list[dict[str, Any]]

    def of(self, kind: str) -> dict[str, Any]:
        (found,) = [each for each in self.objects if each["kind"] == kind]
        return found

    @property
    def deployment(self) -> dict[str, Any]:
        return self.of("Deployment")["spec"]

    @property
    def pod(self) -> dict[str, Any]:
        return self.deployment["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        (only,) = self.pod["containers"]
        return only

    @property
    def variables(self) -> dict[str, Any]:
        """Name to value, or to where the value comes from, in Kubernetes' order of precedence."""
        (source,) = self.container["envFrom"]
        settings = self.of("ConfigMap")
        assert source["configMapRef"]["name"] == settings["metadata"]["name"]
        own = {
            each["name"]: each.get("value", each.get("valueFrom")) for each in self.container["env"]
        }
        return {**settings["data"], **own}


def render(folder: str) -> Manifests:
    assert KUBECTL.exists(), "kubectl comes with the development requirements: make environments"
    rendered = subprocess.run(
        [KUBECTL, "kustomize", FOLDER / folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rendered.returncode == 0, rendered.stderr
    assert not rendered.stderr, "kustomize warns of what it will take no more"
    return Manifests(list(yaml.safe_load_all(rendered.stdout)))


@pytest.fixture(scope="module", params=["base", "overlays/hospital"])
def manifests(request) -> Manifests:
    return render(request.param)


@pytest.fixture(scope="module")
def hospital() -> Manifests:
    return render("overlays/hospital")


@pytest.fixture(scope="module")
def validator():
    """The package of schemas, which takes seconds to import; no other module's tests wait for it."""
    import kubernetes_validate
    import kubernetes_validate.utils

    return kubernetes_validate


@pytest.mark.parametrize("between", [False, pytest.param(True, marks=pytest.mark.whole)])
def test_every_object_is_valid(manifests, validator, between):
    """No field is unknown, of another type, or missing, in the oldest version promised, the newest, and between."""
    versions = [each for each in validator.utils.all_versions() if Version(each) >= OLDEST]
    assert len(versions) > 1
    for version in versions[1:-1] if between else (versions[0], versions[-1]):
        for each in manifests.objects:
            if each["apiVersion"] != "monitoring.coreos.com/v1":
                validator.validate(each, version, strict=True)


def test_a_misspelled_field_is_refused(hospital, validator):
    """The validation above can fail."""
    service = hospital.of("Service")
    wrong = {**service, "spec": {**service["spec"], "selectors": {}}}
    with pytest.raises(validator.ValidationError):
        validator.validate(wrong, str(OLDEST), strict=True)


def test_the_parts_are_all_there(hospital):
    """One of each, all in one namespace, which enforces what the pod keeps."""
    kinds = sorted(each["kind"] for each in hospital.objects)
    assert kinds == [
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Namespace", "NetworkPolicy",
        "PodDisruptionBudget", "Service", "ServiceAccount", "ServiceMonitor",
    ]  # fmt: skip
    namespace = hospital.of("Namespace")["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for each in hospital.objects:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == namespace["name"]


def test_every_selector_matches_the_pods(manifests):
    """One name, in the pods' labels and in every selector."""
    labels = manifests.deployment["template"]["metadata"]["labels"]
    selectors = [
        manifests.deployment["selector"]["matchLabels"],
        manifests.of("Service")["spec"]["selector"],
        manifests.of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifests.of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(
            each["labelSelector"]["matchLabels"]
            for each in manifests.pod["topologySpreadConstraints"]
        ),
    ]
    assert selectors == [NAME] * 6
    assert labels.items() >= NAME.items()
    target = manifests.of("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    deployment = manifests.of("Deployment")
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in manifests.deployment, "two would say how many pods there are"
    account = manifests.of("ServiceAccount")["metadata"]["name"]
    assert manifests.pod["serviceAccountName"] == account


def test_all_parts_use_the_same_port(manifests):
    """Setting, container, Service, policy and probes use one port, by its name."""
    (port,) = manifests.container["ports"]
    assert str(port["containerPort"]) == manifests.variables["PREDICTOR_PORT"]
    assert manifests.variables["PREDICTOR_HOST"] == "0.0.0.0"
    (service,) = manifests.of("Service")["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    for rule in manifests.of("NetworkPolicy")["spec"]["ingress"]:
        assert [each["port"] for each in rule["ports"]] == [port["name"]]
    for probe in probes(manifests).values():
        assert probe["httpGet"]["port"] == port["name"]


def probes(manifests: Manifests) -> dict[str, Any]:
    return {name: probe for name, probe in manifests.container.items() if name.endswith("Probe")}


def routes() -> set[str]:
    """The paths that the service answers, read from where they are written."""
    text = "".join(path.read_text() for path in (ROOT / "predictor/operations").glob("*.py"))
    return set(re.findall(r'@router\.(?:get|post)\(\s*"([^"]+)"', text))


def test_the_probes_use_routes_of_the_service(manifests):
    """A restart cannot repair the registry: only readiness depends on a serving version."""
    paths = {name: probe["httpGet"]["path"] for name, probe in probes(manifests).items()}
    assert paths == {
        "startupProbe": "/health",
        "livenessProbe": "/health",
        "readinessProbe": "/ready",
    }
    assert set(paths.values()) <= routes()


def test_a_pod_has_time_to_end(manifests):
    """Kubernetes kills it after the process would have ended by itself, whatever hangs in it."""
    pause = manifests.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    set_to = manifests.variables.get("PREDICTOR_SHUTDOWN_SECONDS")
    shutdown = int(set_to or Settings.model_fields["shutdown_seconds"].default)
    assert manifests.pod["terminationGracePeriodSeconds"] > pause + shutdown + LAST_SECONDS


def test_every_variable_is_a_setting(manifests):
    """A misspelled variable would be ignored, and its default used in silence."""
    known = {variable(name) for name in Settings.model_fields}
    assert set(manifests.variables) <= known
    assert manifests.pod["enableServiceLinks"] is False, "else Kubernetes sets PREDICTOR_PORT too"


def test_the_settings_are_accepted(manifests, monkeypatch):
    """What the pod's variables say passes the checks of the service."""
    for name, value in manifests.variables.items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = Settings.read()
    assert settings.cache_dir == Path(mounts(manifests)["cache"])
    check_exposure(settings)  # it listens to others, so there must be keys


def mounts(manifests: Manifests) -> dict[str, str]:
    return {each["name"]: each["mountPath"] for each in manifests.container["volumeMounts"]}


def secret_files(manifests: Manifests) -> dict[str, tuple[str, str]]:
    """Each file that a Secret becomes in the container: its path to (Secret, key)."""
    files, where = {}, mounts(manifests)
    for volume in manifests.pod["volumes"]:
        folder = where[volume["name"]]
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                files[f"{folder}/{item['path']}"] = source["secret"]["name"], item["key"]
        if "secret" in volume:
            for key in ("tls.crt", "tls.key"):
                files[f"{folder}/{key}"] = volume["secret"]["secretName"], key
    return files


def test_every_file_setting_is_a_file_of_a_secret(manifests):
    """A key file that is not mounted would stop the service at its start."""
    named = {
        value
        for name, value in manifests.variables.items()
        if isinstance(value, str) and (name.endswith("_FILE") or name.startswith("PREDICTOR_TLS_"))
    }
    assert named == set(secret_files(manifests))


def documented_secrets() -> set[tuple[str, str]]:
    text = (FOLDER / "README.md").read_text().partition("## Secrets")[2]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", text, re.MULTILINE)
    return {(name, key) for name, keys in rows for key in re.findall(r"`([^`]+)`", keys)}


def test_every_secret_is_documented_and_none_is_in_the_files(hospital):
    """The README lists them; the repository contains no secret."""
    endpoint = hospital.of("ServiceMonitor")["spec"]["endpoints"][0]
    bearer = endpoint["authorization"]["credentials"]
    authority = endpoint["tlsConfig"]["ca"]["secret"]
    from_variables = [
        value["secretKeyRef"] for value in hospital.variables.values() if isinstance(value, dict)
    ]
    referred = set(secret_files(hospital).values()) | {
        (each["name"], each["key"]) for each in (bearer, authority, *from_variables)
    }
    of_other_overlays = {
        ("gateway-credentials", "credentials.conf"), ("nats-credentials", "credentials"),
    }  # fmt: skip
    assert referred == documented_secrets() - of_other_overlays
    assert "Secret" not in {each["kind"] for each in hospital.objects}


def test_the_pod_has_the_fewest_privileges(manifests):
    """Pod Security's level restricted, and a read-only root file system."""
    pod, container = manifests.pod["securityContext"], manifests.container["securityContext"]
    assert pod["runAsNonRoot"] is True
    users = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]} == {
        int(i) for u in users for i in u
    }
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert manifests.pod["automountServiceAccountToken"] is False
    assert manifests.of("ServiceAccount")["automountServiceAccountToken"] is False
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        assert name not in manifests.pod


def test_the_network_lets_through_what_is_needed_and_nothing_else(manifests):
    """In: frontends, Prometheus, MLflow's webhooks. Out: MLflow, on its port, and names."""
    policy = manifests.of("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (frontends,), (prometheus,), (webhooks,) = (rule["from"] for rule in policy["ingress"])
    for peer in (frontends, prometheus, webhooks):
        assert set(peer) == {"namespaceSelector", "podSelector"}, "either alone lets in more"
    assert frontends["podSelector"]["matchLabels"] == {"mlflow-hotswap/frontend": "true"}
    assert prometheus["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    registry, names = policy["egress"]
    assert registry["to"] == [webhooks]
    port = re.search(r":(\d+)$", manifests.variables["MLFLOW_TRACKING_URI"])
    assert [each["port"] for each in registry["ports"]] == [int(port[1])]
    assert {(each["protocol"], each["port"]) for each in names["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
    }


def test_no_pod_is_lost_by_a_rollout_or_a_drained_node(manifests):
    """A new pod serves before an old one ends, and draining ends one pod at a time."""
    assert manifests.deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert manifests.of("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    autoscaler = manifests.of("HorizontalPodAutoscaler")["spec"]
    assert 2 <= autoscaler["minReplicas"] < autoscaler["maxReplicas"]
    assert "cpu" in manifests.container["resources"]["requests"], "what the autoscaler measures by"
    assert "cpu" not in manifests.container["resources"]["limits"]
    load_seconds = Settings.model_fields["load_seconds"].default
    assert manifests.deployment["progressDeadlineSeconds"] > load_seconds


def test_the_cache_fits_into_its_volume(manifests):
    """Eight artifacts, the serving one, the previous one and a half-written one, each of the maximum size."""
    (cache,) = [each for each in manifests.pod["volumes"] if each["name"] == "cache"]
    limits = manifests.container["resources"]["limits"]
    needed = 11 * int(manifests.variables["PREDICTOR_MAX_MODEL_BYTES"])
    assert (
        needed <= mebibytes(cache["emptyDir"]["sizeLimit"]) < mebibytes(limits["ephemeral-storage"])
    )


def mebibytes(quantity: str) -> int:
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi")) * 2**20


def test_prometheus_scrapes_the_service_as_the_rules_expect(hospital):
    """The job is `predictor`, the path is a route, the scheme is the one that the pods speak."""
    monitor, service = hospital.of("ServiceMonitor"), hospital.of("Service")
    assert set(monitor["spec"]) == {"jobLabel", "selector", "endpoints"}
    labels = service["metadata"]["labels"]
    assert labels[monitor["spec"]["jobLabel"]] == "predictor"
    assert labels.items() >= monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert set(endpoint) == {
        "port", "path", "interval", "scrapeTimeout", "scheme", "tlsConfig", "authorization",
    }  # fmt: skip
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["path"] in routes()
    spoken = {probe["httpGet"]["scheme"] for probe in probes(hospital).values()}
    assert spoken == {endpoint["scheme"].upper()} == {"HTTPS"}
    assert endpoint["authorization"]["type"] == "Bearer"
