"""A setting that needs a missing extra is refused at the start; an unused extra is not imported."""

import os
import subprocess
import sys
import tomllib

import pytest

from demo.processes import ROOT, free_port, predictor_python
from predictor.errors import SettingsError
from predictor.settings import Settings
from predictor.settings_checks import UVICORN, check_traces, check_uvicorn

REGISTRY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
COMPOSED = """
import sys
from predictor.service import compose, create_api
from predictor.settings import Settings
service = compose(Settings.read())
create_api(service)
print("lane" if service.lane else "no lane")
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "grpc"))])
"""


def python(interpreter: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [interpreter, *arguments],
        cwd=ROOT,
        env={**os.environ, **REGISTRY, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_extras_nothing_of_them_is_there():
    """The parts include the fast lane, and no module of OpenTelemetry's SDK or gRPC is imported."""
    composed = python(sys.executable, "-c", COMPOSED)
    assert composed.stdout.splitlines() == ["lane", "[]"], composed.stderr


def test_the_fast_lane_is_open_with_traces():
    """Its requests have spans, too."""
    composed = python(sys.executable, "-c", COMPOSED, OTEL_TRACES_EXPORTER="console")
    assert composed.stdout.splitlines()[0] == "lane", composed.stderr


@pytest.mark.parametrize("other", ["0.53.9", "0.55.0", "1.0.0", "0.55.0rc1"])
def test_another_uvicorn_is_refused(tmp_path, other):
    """The service never runs without limits: one line says what is installed and what to install."""
    info = tmp_path / f"uvicorn-{other}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: uvicorn\nVersion: {other}\n")
    refused = python(sys.executable, "-m", "predictor", PYTHONPATH=str(tmp_path))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert f"uvicorn {other}, httptools" in refused.stderr
    assert "install uvicorn>=0.54,<0.55" in refused.stderr


def test_the_supported_uvicorn_is_the_required_one():
    """The package's requirement and the check at the start have the same range."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    first, end = (".".join(map(str, each)) for each in UVICORN)
    assert f"uvicorn>={first},<{end}" in project["dependencies"]
    check_uvicorn()


def test_traces_without_their_packages_are_refused():
    """The environment for serving has no exporter; the line says what to install."""
    refused = python(predictor_python(), "-m", "predictor", OTEL_TRACES_EXPORTER="otlp")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "OTEL_TRACES_EXPORTER is otlp" in refused.stderr
    assert "requirements/traces.txt has it" in refused.stderr


def test_a_variable_that_opentelemetry_refuses_ends_the_start(tmp_path):
    """With one line, like any wrong setting."""
    wrong = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "0"}
    own = {"PREDICTOR_PORT": str(free_port()), "PREDICTOR_CACHE_DIR": str(tmp_path)}
    refused = python(sys.executable, "-m", "predictor", **wrong, **own)
    assert refused.returncode == 2
    assert refused.stderr == ("mlflow-hotswap: a variable OTEL_… is wrong (ValueError)\n")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf",
        ),
    ],
)
def test_unusable_trace_settings_are_refused_by_name(env, said, monkeypatch):
    """Otherwise missing traces would only be noticed when they are needed."""
    for name, value in {**REGISTRY, **env}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        check_traces(Settings.read())


def test_grpc_without_its_package_is_refused():
    """The environment for serving has no grpcio."""
    refused = python(predictor_python(), "-m", "predictor", PREDICTOR_GRPC_PORT="9000")
    assert refused.returncode == 2
    assert refused.stderr == (
        "mlflow-hotswap: PREDICTOR_GRPC_PORT is 9000, and grpcio is not installed; "
        "requirements/grpc.txt has it\n"
    )


def test_traces_that_can_be_sent_are_accepted(monkeypatch):
    """Here the extra is installed."""
    for name, value in {**REGISTRY, "OTEL_TRACES_EXPORTER": "otlp"}.items():
        monkeypatch.setenv(name, value)
    check_traces(Settings.read())
