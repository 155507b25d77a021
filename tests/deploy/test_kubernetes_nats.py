"""The overlay with NATS: the predictors' address, credentials and way to it."""

import re

import pytest

from predictor.settings import Settings
from tests.deploy.test_kubernetes import (
    OLDEST,
    Manifests,
    documented_secrets,
    render,
    secret_files,
)
from tests.deploy.test_kubernetes_gateway import named


@pytest.fixture(scope="module")
def fleet() -> Manifests:
    """The predictor's objects; the gateway's have a test of their own."""
    objects = render("overlays/fleet").objects
    return Manifests([each for each in objects if "gateway" not in each["metadata"]["name"]])


@pytest.mark.whole
def test_every_object_is_valid(fleet: Manifests) -> None:
    """In the oldest version promised."""
    import kubernetes_validate

    for each in fleet.objects:
        if each["apiVersion"] != "monitoring.coreos.com/v1":
            kubernetes_validate.validate(each, str(OLDEST), strict=True)


def test_predictors_reach_nats_on_the_port_of_its_address(fleet: Manifests) -> None:
    """The gateway, DNS and NATS, and nothing else."""
    gateway, _, nats = fleet.of("NetworkPolicy")["spec"]["egress"]
    assert "gateway" in str(gateway["to"])
    (peer,) = nats["to"]
    address = re.fullmatch(
        r"nats://(\w+)\.(\w+)\.svc\.cluster\.local:(\d+)", fleet.variables["PREDICTOR_NATS_URL"]
    )
    assert address
    assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": address[1]}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": address[2]}
    assert nats["ports"] == [{"protocol": "TCP", "port": int(address[3])}]


def test_the_credentials_are_a_file_of_a_documented_secret(
    fleet: Manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other files stay; and the service takes the settings."""
    for name, value in fleet.variables.items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = Settings.read()
    files = secret_files(fleet)
    assert settings.nats_url == fleet.variables["PREDICTOR_NATS_URL"]
    assert files[str(settings.nats_credentials_file)] == ("nats-credentials", "credentials")
    assert str(settings.api_keys_file) in files
    assert ("nats-credentials", "credentials") in documented_secrets()


def test_the_gateway_is_unchanged() -> None:
    """It does not use NATS."""
    with_nats, without = (render(f"overlays/{name}").objects for name in ("fleet", "gateway"))
    for kind in ("Deployment", "NetworkPolicy", "Service"):
        assert named(with_nats, kind, "gateway") == named(without, kind, "gateway")
