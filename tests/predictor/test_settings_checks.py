"""A setting that needs a missing extra is refused at the start; an unused extra is not imported."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from demo.processes import ROOT, free_port, predictor_python
from predictor.errors import SettingsError
from predictor.settings import Settings
from predictor.settings_checks import (
    UVICORN,
    check_nats,
    check_record,
    check_traces,
    check_uvicorn,
    unknown_variables,
)

REGISTRY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
COMPOSED = """
import sys
from predictor.service import compose, create_api
from predictor.settings import Settings
service = compose(Settings.read())
create_api(service)
print("lane" if service.lane else "no lane")
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "grpc", "cryptography", "predictor.approval.", "nats", "predictor.fleet.", "fleet.client", "pyarrow", "predictor.recording", "predictor.shadow"))])
"""


def python(interpreter: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    others = {name: each for name, each in os.environ.items() if not name.startswith("PREDICTOR_")}
    return subprocess.run(
        [interpreter, *arguments],
        cwd=ROOT,
        env={**others, **REGISTRY, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_extras_nothing_of_them_is_there():
    """The parts include the fast lane, and no module of OpenTelemetry's SDK, gRPC, NATS, Parquet or cryptography is imported."""
    composed = python(sys.executable, "-c", COMPOSED)
    assert composed.stdout.splitlines() == ["lane", "[]"], composed.stderr


def test_the_fast_lane_is_open_with_traces():
    """Its requests have spans, too."""
    composed = python(sys.executable, "-c", COMPOSED, OTEL_TRACES_EXPORTER="console")
    assert composed.stdout.splitlines()[0] == "lane", composed.stderr


@pytest.mark.parametrize(
    "other",
    [
        "0.53.9",
        "0.55.0",
        *(pytest.param(n, marks=pytest.mark.whole) for n in ("1.0.0", "0.55.0rc1")),
    ],
)
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
    assert "pip install 'mlflow-hotswap[traces]'" in refused.stderr


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
        "pip install 'mlflow-hotswap[grpc]', or build the image with EXTRAS=grpc\n"
    )


def test_records_without_their_package_are_refused(tmp_path):
    """The environment for serving has no pyarrow."""
    refused = python(predictor_python(), "-m", "predictor", PREDICTOR_RECORD_URI=str(tmp_path))
    assert refused.returncode == 2
    assert refused.stderr == (
        "mlflow-hotswap: PREDICTOR_RECORD_URI is set, and pyarrow is not installed; "
        "pip install 'mlflow-hotswap[record]', or build the image with EXTRAS=record\n"
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"RECORD_URI": "nowhere://bucket"}, "PREDICTOR_RECORD_URI: Protocol not known: nowhere"),
        ({"RECORD_OMIT": "age:hash"}, "PREDICTOR_RECORD_HASH_KEY_FILE names no file with its key"),
        (
            {"RECORD_OMIT": "age:hash", "RECORD_HASH_KEY_FILE": "short"},
            "PREDICTOR_RECORD_HASH_KEY_FILE: short: a key of at least 16 bytes is needed",
        ),
        (
            {"RECORD_OMIT": "age:hash", "RECORD_HASH_KEY_FILE": "absent"},
            "PREDICTOR_RECORD_HASH_KEY_FILE: absent: No such file or directory",
        ),
    ],
)
def test_records_that_cannot_be_kept_as_set_are_refused(tmp_path, monkeypatch, settings, reason):
    """Before the service starts, with the variable's name."""
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("secret")
    for name, value in {"RECORD_URI": str(tmp_path / "records"), **settings}.items():
        monkeypatch.setenv(f"PREDICTOR_{name}", value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(SettingsError, match=re.escape(reason)):
        check_record(Settings.read())


def test_approvers_without_their_package_are_refused(tmp_path):
    """The environment for serving has no cryptography."""
    file = tmp_path / "approvers.toml"
    refused = python(predictor_python(), "-m", "predictor", PREDICTOR_APPROVERS_FILE=str(file))
    assert refused.returncode == 2
    assert refused.stderr == (
        f"mlflow-hotswap: PREDICTOR_APPROVERS_FILE is {file}, and cryptography is not installed; "
        "pip install 'mlflow-hotswap[approvals]', or build the image with EXTRAS=approvals\n"
    )


def test_nats_without_its_package_is_refused():
    """The environment for serving has no nats-py."""
    refused = python(predictor_python(), "-m", "predictor", PREDICTOR_NATS_URL="nats://nats:4222")
    assert refused.returncode == 2
    assert refused.stderr == (
        "mlflow-hotswap: PREDICTOR_NATS_URL is set, and nats-py is not installed; "
        "pip install 'mlflow-hotswap[nats]', or build the image with EXTRAS=nats\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"", "expected one line"),
        (b"hotswap:a\nhotswap:b\n", "expected one line"),
        (b"\xff\xfe", "expected one line"),
        (b"x" * 17_000, "larger than 16384 bytes"),
    ],
    ids=["missing", "empty", "two lines", "no text", "large"],
)
def test_a_file_of_nats_credentials_that_cannot_be_used_is_refused(
    tmp_path, monkeypatch, content, reason
):
    """The error names the variable and the file, and quotes nothing of it."""
    pytest.importorskip("nats", reason="nats-py is not installed; `make environments` installs it")
    file = tmp_path / "credentials"
    if content is not None:
        file.write_bytes(content)
    for name, value in {
        **REGISTRY,
        "PREDICTOR_NATS_URL": "nats://nats:4222",
        "PREDICTOR_NATS_CREDENTIALS_FILE": str(file),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="PREDICTOR_NATS_CREDENTIALS_FILE") as refused:
        check_nats(Settings.read())
    assert reason in str(refused.value)
    assert "hotswap" not in str(refused.value).replace(str(file), "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("", "it has no [approvers]: a line `name = "),
        ("required = 1\n[approvers]\nalice = 'MCow'", "alice: not a public key in PEM or Base64"),
    ],
    ids=["missing", "empty", "no key"],
)
def test_a_file_of_approvers_that_cannot_be_used_is_refused(tmp_path, content, reason):
    """One line names the variable, the file and what is wrong with it."""
    file = tmp_path / "approvers.toml"
    if content is not None:
        file.write_text(content)
    refused = python(sys.executable, "-m", "predictor", PREDICTOR_APPROVERS_FILE=str(file))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"mlflow-hotswap: PREDICTOR_APPROVERS_FILE: {file}: {reason}")
    assert refused.stderr.count("\n") == 1


def test_traces_that_can_be_sent_are_accepted(monkeypatch):
    """Here the extra is installed."""
    for name, value in {**REGISTRY, "OTEL_TRACES_EXPORTER": "otlp"}.items():
        monkeypatch.setenv(name, value)
    check_traces(Settings.read())


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("PREDICTOR_POL_SECONDS", "PREDICTOR_POLL_SECONDS"),
        ("PREDICTOR_MODEL_URL", "PREDICTOR_MODEL_URI"),
        ("PREDICTOR_API_KEY_FILE", "PREDICTOR_API_KEYS_FILE"),
        ("PREDICTOR_WEBHOOK_SECRET", "PREDICTOR_WEBHOOK_SECRET_FILE"),
        ("PREDICTOR_TRACKING_URI", "MLFLOW_TRACKING_URI"),
        ("PREDICTOR_TRACES_EXPORTER", "OTEL_TRACES_EXPORTER"),
        ("predictor_worker", "PREDICTOR_WORKERS"),
        ("PREDICTOR_COLOUR", None),
        ("PREDICTOR_", None),
        ("PREDICTOR_SERVICE_PORT", None),  # no host: not by Kubernetes
    ],
)
def test_an_unknown_variable_has_the_most_similar_setting(name, similar):
    """Known ones, in upper or lower case, and those of other programs are left out."""
    known = {"PREDICTOR_PORT": "1", "predictor_workers": "2", "MLFLOW_X": "", "PREDICTORS": "3"}
    assert unknown_variables({**known, name: ""}) == {name: similar}


@pytest.mark.parametrize(("service", "setting"), [("", "port"), ("_GRPC", "grpc_port")])
def test_kubernetes_description_of_a_service_is_no_setting(monkeypatch, service, setting):
    """Of Services named `predictor` and `predictor-grpc`: no warning, and the default port."""
    link = {
        "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "8000", "SERVICE_PORT_HTTP": "8000",
        "PORT": "tcp://10.0.0.1:8000", "PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "PORT_8000_TCP_PROTO": "tcp", "PORT_8000_TCP_PORT": "8000", "PORT_8000_TCP_ADDR": "10.0.0.1",
    }  # fmt: skip
    described = {f"PREDICTOR{service}_{name}": value for name, value in link.items()}
    assert unknown_variables(described) == {}
    assert unknown_variables({**described, "PREDICTOR_PORTS": ""}) == {
        "PREDICTOR_PORTS": "PREDICTOR_PORT"
    }
    for name, value in {**REGISTRY, **described}.items():
        monkeypatch.setenv(name, value)
    assert getattr(Settings.read(), setting) == Settings.model_fields[setting].default
    monkeypatch.setenv(f"PREDICTOR_{setting.upper()}", "9001")
    assert getattr(Settings.read(), setting) == 9001
