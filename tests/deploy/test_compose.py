"""deploy/compose.yaml agrees with the Dockerfile, the settings and the other files."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.processes import ROOT
from deploy import stack_secrets
from predictor import __version__
from predictor.keys import Keys, line_of
from predictor.settings import Settings, variable
from tests.deploy.stack import FILE, PORTS, compose
from tests.required import program

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
ONE_SHOT = "trainer"


def test_every_service_has_the_fewest_privileges() -> None:
    """No privilege, nothing writable but volumes and memory, and no port but on this machine's own address."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert [name for name, service in SERVICES.items() if "cap_add" in service] == ["postgres"]
    assert compose()["networks"]["database"] == {"internal": True}
    assert _on_networks("database") == {"postgres", "mlflow"}


def test_no_replica_reaches_mlflow_but_through_the_gateway() -> None:
    """MLflow shares a network with its database, the gateway and the trainer only."""
    assert _on_networks(*SERVICES["mlflow"]["networks"]) == {
        "mlflow", "postgres", "gateway", "trainer",
    }  # fmt: skip
    gateway, predictor = SERVICES["gateway"], SERVICES["predictor"]
    settings = gateway["environment"]
    address = predictor["environment"]["MLFLOW_TRACKING_URI"]
    assert address == f"http://gateway:{settings['GATEWAY_PORT']}"
    assert {*gateway["networks"]} & {*predictor["networks"]} == {"replicas"}
    for name in ("registry", "replicas"):
        assert compose()["networks"][name] == {"internal": True}
    (webhook,) = [
        each.removeprefix("--webhook=")
        for each in SERVICES["trainer"]["command"]
        if each.startswith("--webhook=")
    ]
    (alias,) = gateway["networks"]["registry"]["aliases"]
    assert webhook == f"http://{alias}:{settings['WEBHOOKS_PORT']}/webhooks/mlflow"
    assert "ports" not in gateway


def test_the_gateway_gets_every_variable_of_its_templates() -> None:
    """One that is missing would stay in the configuration, and nginx would not start."""
    used = set()
    for template in (FILE.parent / "gateway/templates").iterdir():
        used |= {*re.findall(r"\$\{(\w+)\}", template.read_text())}
    assert used == {*SERVICES["gateway"]["environment"]} - {"NGINX_ENVSUBST_OUTPUT_DIR"}
    assert SERVICES["gateway"]["user"] != "0"


def test_nats_is_reached_by_those_who_use_it_only() -> None:
    """By the name and port of its command; it starts where the profile is chosen, and not as root."""
    assert _on_networks("fleet") == {"nats", "predictor", "trainer"}
    nats = SERVICES["nats"]
    assert (nats["networks"], nats["profiles"]) == (["fleet"], ["nats"])
    assert compose()["networks"]["fleet"] == {"internal": True}
    assert f"--port={PORTS['nats']}" in nats["command"]
    assert "--jetstream" in nats["command"]
    assert nats["user"] == "65534:65534"
    for name in ("predictor", "trainer"):
        assert SERVICES[name]["environment"]["PREDICTOR_NATS_URL"] == ""
    assert "PREDICTOR_NATS_URL=nats://nats:4222" in (ROOT / "docs/containers.md").read_text()


def _on_networks(*names: str) -> set[str]:
    return {service for service, said in SERVICES.items() if {*names} & {*said.get("networks", ())}}


def test_every_pulled_image_has_a_version() -> None:
    """No image is `latest`; images that are built here name their target in the Dockerfile."""
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", service["image"]), name
        built = service.get("build")
        assert not built or f" AS {built['target']}\n" in (ROOT / "Dockerfile").read_text()
    base = re.search(r"^ARG BASE_IMAGE=(.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert re.search(r":\d+\.\d+\.\d+-", base[1])


def test_the_image_has_the_version_of_the_package() -> None:
    """The Dockerfile cannot import it."""
    assert f"\nARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()


def test_everything_it_mounts_exists(tmp_path: Path) -> None:
    """Folders of this repository, volumes that are declared, and secrets that the script makes."""
    made = stack_secrets.make(tmp_path / "secrets")
    for name, secret in compose()["secrets"].items():
        assert secret["file"] == f"./secrets/{name}"
        assert name in made
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            known = source in compose()["volumes"] or (FILE.parent / source).is_dir()
            assert known, f"{name}: {volume}"
        assert {*service.get("secrets", ())} <= {*compose()["secrets"]}, name
        # A secret is asked for by no other name.
        used = {*re.findall(r"/run/secrets/(\w+)", json.dumps(service))}
        assert used <= {*service.get("secrets", ())}, name
    used_by_prometheus = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    assert {*re.findall(r"/run/secrets/(\w+)", used_by_prometheus)} == {"operations_key"}


def test_they_wait_for_what_they_need() -> None:
    """Services that others wait for have a health check; only the one-shot service ends by itself."""
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            checked = "healthcheck" in SERVICES[other] or other == "predictor"
            assert how["condition"] == "service_started" or checked, name
        assert ("healthcheck" in service) is (name not in {"predictor", ONE_SHOT}), name
        assert service["restart"] == ("on-failure:3" if name == ONE_SHOT else "unless-stopped")


def test_the_predictors_settings_exist() -> None:
    """Each variable is a setting with a valid value, and the service gets time to shut down."""
    predictor = SERVICES["predictor"]
    known = {variable(name) for name in Settings.model_fields}
    assert {*predictor["environment"]} <= known
    settings = Settings(
        MLFLOW_TRACKING_URI=predictor["environment"]["MLFLOW_TRACKING_URI"],
        **{
            name.removeprefix("PREDICTOR_").lower(): value
            for name, value in predictor["environment"].items()
            if name.startswith("PREDICTOR_")
        },
    )
    assert settings.api_keys_file
    assert settings.operations_keys_file
    assert not settings.allow_anonymous
    assert int(predictor["stop_grace_period"].removesuffix("s")) > settings.shutdown_seconds


def test_grafana_finds_its_dashboard_and_prometheus() -> None:
    """Grafana does not run here; the test checks that its files refer to each other."""
    service = SERVICES["grafana"]
    mounts = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])  # type: ignore[misc]
    provisioning = FILE.parent / mounts["/etc/grafana/provisioning"]
    (providers,) = [yaml.safe_load(f.read_text()) for f in (provisioning / "dashboards").iterdir()]
    (sources,) = [yaml.safe_load(f.read_text()) for f in (provisioning / "datasources").iterdir()]
    for provider in providers["providers"]:
        dashboards = FILE.parent / mounts[provider["options"]["path"]]
        assert [*dashboards.glob("*.json")]
    (source,) = sources["datasources"]
    assert source["url"] == f"http://prometheus:{PORTS['prometheus']}"
    assert "prometheus" in SERVICES["grafana"]["depends_on"]
    shared = {*SERVICES["grafana"]["networks"]} & {*SERVICES["prometheus"]["networks"]}
    assert "monitoring" in shared


@pytest.mark.whole
def test_docker_compose_takes_the_file(tmp_path: Path) -> None:
    """Debian's, which needs no engine to read it; `name` is younger than it is."""
    reader, file = program("docker-compose"), tmp_path / "compose.yaml"
    file.write_text(re.sub(r"^name: .*\n", "", FILE.read_text(), count=1, flags=re.MULTILINE))
    command = [reader, "-f", str(file), "--project-directory", str(FILE.parent), "config", "-q"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


def test_secrets_are_made_once_and_never_overwritten(tmp_path: Path) -> None:
    """A second run changes nothing; only a deleted secret is created again."""
    folder = tmp_path / "secrets"
    assert stack_secrets.main(["--folder", str(folder)]) == 0
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert len({*before.values()}) == len(before)
    in_lines = {name for name, text in before.items() if text != text.strip()}
    assert in_lines == {"api_keys", "operations_keys", "gateway_credentials", "nats_config"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o644}
    assert stack_secrets.make(folder) == []
    (folder / "grafana_password").unlink()
    assert stack_secrets.make(folder) == ["grafana_password"]
    after = {file.name: file.read_text() for file in folder.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"grafana_password"}


@pytest.mark.parametrize(
    ("key", "hashes"), [("api_key", "api_keys"), ("operations_key", "operations_keys")]
)
def test_the_predictor_takes_the_keys_that_were_made(tmp_path: Path, key: str, hashes: str) -> None:
    """The hash in the one file is that of the key in the other, and lines can be appended."""
    stack_secrets.make(tmp_path)
    with (tmp_path / hashes).open("a") as file:
        file.write(f"{line_of('ward-7', 'a key')}\n")
    keys = Keys.read((tmp_path / hashes).read_bytes())
    assert keys.owner((tmp_path / key).read_bytes())
    assert keys.owner(b"a key") == "ward-7"
    assert keys.owner(b"another") is None


def test_no_secret_gets_into_the_repository_or_an_image() -> None:
    """Git ignores what the script makes, and the build never sees it."""
    ignored = subprocess.run(
        ["git", "check-ignore", "--quiet", "deploy/secrets/api_key"], cwd=ROOT, check=False
    )
    assert ignored.returncode == 0
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert not [line for line in lines if line.startswith("!deploy")]


def test_a_build_sees_what_the_dockerfile_copies() -> None:
    """All of it, and nothing else."""
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    needed = {
        re.sub(r"/[\w-]+\.txt$", "/*.txt", source) for each in copied for source in each.split()
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == needed
