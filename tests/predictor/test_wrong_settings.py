"""Each wrong environment ends the real process with one line that names the variable, and exit code 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "NO_COLOR": "1"}
SECRET = "s3cret"

OTLP = {"OTEL_TRACES_EXPORTER": "otlp"}
ANYBODY = {"PREDICTOR_ALLOW_ANONYMOUS": "true"}
HTTPS = {"MLFLOW_TRACKING_URI": "https://mlflow.example"}

WRONG: list[tuple[str, dict[str, str]]] = [
    *(
        ("MLFLOW_TRACKING_URI", {"MLFLOW_TRACKING_URI": uri})
        for uri in (
            "", "registry", "ftp://h", "http://", "http://h:x", "http://h:0", "http://h:99999", "http://a b",
            "http://h/a b", "http://h?x=1", "http://h/?", "http://h#x", "http://h/#", "http://[::1", "http://h\n.x",
            "http://h\x1b[0m", "http://ä.example", "http://h%20", "http://*", "http://u:%zz@h", "http://u:%ff@h",
            f"http://u:{SECRET}%0d%0ax@h", f"http://u:{SECRET}@h:x", f"http://a%3Ab:{SECRET}@h", "http://h/\\x",
            f"http://u:{SECRET}@h?x", "http://u@v@", "file:///x", "sqlite:///mlflow.db", "databricks",
        )
    ),
    ("MLFLOW_TRACKING_URI", {"MLFLOW_TRACKING_URI": f"http://u:{SECRET}@h", "MLFLOW_TRACKING_USERNAME": "v"}),
    *(
        ("MLFLOW_TRACKING_TOKEN", {"MLFLOW_TRACKING_TOKEN": token})
        for token in (f"{SECRET}\nx", f"{SECRET}é", f"{SECRET}\rx", f"{SECRET} x", f"{SECRET}\x01", f"{SECRET}\udcff")
    ),
    *(
        (name, {"MLFLOW_TRACKING_USERNAME": "u", name: f"{SECRET}{odd}x"})
        for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME")
        for odd in ("\n", "\r", "\x01", "\udcff")
    ),
    ("MLFLOW_TRACKING_USERNAME", {"MLFLOW_TRACKING_USERNAME": "a:b"}),
    ("MLFLOW_TRACKING_INSECURE_TLS", {"MLFLOW_TRACKING_INSECURE_TLS": "perhaps"}),
    *(
        (name, {name: path, **more})
        for name in ("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH")
        for path in ("/nowhere", "/dev/null", "/etc/hostname", "/nowhere\nx")
        for more in ({}, HTTPS)
    ),
    *(
        ("MLFLOW_TRACKING_TOKEN_FILE", {"MLFLOW_TRACKING_TOKEN_FILE": path, **more})
        for path in ("/nowhere", "/dev/null", "/", "/nowhere\nx")
        for more in ({}, {"PREDICTOR_WORKERS": "2"})
    ),
    *(
        ("MLFLOW_TRACKING_AUTH", {"MLFLOW_TRACKING_AUTH": name, **more})
        for name in ("saml", "kubernetes-namespaced", "a\nb")
        for more in ({}, {"PREDICTOR_WORKERS": "2"})
    ),
    ("DATABRICKS_CLIENT_ID", {"MLFLOW_TRACKING_AUTH": "databricks", "DATABRICKS_CLIENT_SECRET": SECRET}),
    ("DATABRICKS_HOST", {"DATABRICKS_HOST": f"https://u:{SECRET}@h"}),
    ("MLFLOW_TRACKING_URI", {"MLFLOW_TRACKING_URI": "databricks://ward"}),
    ("SSL_CERT_FILE", {"SSL_CERT_FILE": "/nowhere", **HTTPS}),
    *(("MLFLOW_WORKSPACE", {"MLFLOW_WORKSPACE": name}) for name in ("a", "A1", "a b", "-ab", "api", "a\nb", "ü1")),
    *(
        ("PREDICTOR_ARTIFACT_HOSTS", {"PREDICTOR_ARTIFACT_HOSTS": hosts})
        for hosts in ("https://h/path", "ftp://h", "h:x", f"https://u:{SECRET}@h", "*", "https://*.h", "[::1", "a b")
    ),
    *(
        ("MLFLOW_S3_ENDPOINT_URL", {"MLFLOW_S3_ENDPOINT_URL": url})
        for url in ("minio", "ftp://h", f"http://u:{SECRET}@h", "http://h?x")
    ),
    ("MLFLOW_S3_IGNORE_TLS", {"MLFLOW_S3_IGNORE_TLS": "perhaps"}),
    ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", {"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "round"}),
    *(
        (name, {name: value, **more})
        for names, more in (
            (("HTTP_PROXY", "http_proxy", "ALL_PROXY"), {}), (("HTTPS_PROXY", "all_proxy"), HTTPS),
        )
        for name in names
        for value in (
            f"socks5h://u:{SECRET}@h:1", "socks5://h:1", "ftp://h", "http://", "http://h:x", "http://h:0", "a b",
            f"http://u:{SECRET}\n@h:1", "http://h:1/path", "http://[::1", f"http://u:{SECRET}é@h:1",
        )
    ),
    *(
        (f"OTEL_EXPORTER_OTLP_{name}", {**OTLP, f"OTEL_EXPORTER_OTLP_{name}": value})
        for name, value in (
            ("HEADERS", SECRET), ("TRACES_HEADERS", f"key={SECRET}\nx"), ("HEADERS", f"key={SECRET}%0d%0ax"),
            ("HEADERS", f"key={SECRET}é"), ("HEADERS", f"a=b,{SECRET}"), ("ENDPOINT", f"u:{SECRET}@h"),
            ("ENDPOINT", "http://h:x"), ("TRACES_ENDPOINT", "collector"), ("PROTOCOL", "grpc"), ("TIMEOUT", "soon"),
            ("COMPRESSION", "zip"), ("CERTIFICATE", "/nowhere"),
        )
    ),
    ("OTEL_TRACES_EXPORTER", {"OTEL_TRACES_EXPORTER": "jaeger"}),
    ("MLFLOW_TRACKING_URI", {"MLFLOW_TRACKING_URI": "", "PREDICTOR_WORKERS": "2"}),
    *(
        ("PREDICTOR_HOST", {"PREDICTOR_HOST": host, **more})
        for host, more in (
            ("0.0.0.0", {}), ("[::]", {"PREDICTOR_WORKERS": "2"}), (" ", {}), ("192.0.2.1", ANYBODY),
            ("no-such-name.invalid", ANYBODY), ("a" * 64, ANYBODY),
        )
    ),
    *(
        (f"PREDICTOR_{name}", {f"PREDICTOR_{name}": value})
        for name, value in (
            ("MODEL_URI", "m"), ("MODEL_URI", "models:/m"), ("MODEL_URI", "models:/m\udcff/1"), ("MODEL_URI", "models:/m\n/1"),
            ("PORT", "x"), ("PORT", "70000"), ("GRPC_PORT", "0"), ("WORKERS", "0"), ("POLL_SECONDS", "nan"),
            ("POLL_SECONDS", "inf"), ("WHEN_NONE", "perhaps"), ("MAX_BODY_BYTES", "0"), ("MAX_CONNECTIONS", "9" * 30),
            ("MAX_MODEL_BYTES", "-1"), ("LOAD_SECONDS", "0"), ("FAST_LANE", "perhaps"), ("LOG_LEVEL", "loud"),
            ("CORS_ORIGINS", "*"), ("TLS_CERTIFICATE", "/nowhere"), ("TLS_CERTIFICATE", "/nowhere\nx"), ("TLS_KEY", "/nowhere"),
            ("API_KEYS_FILE", "/nowhere"), ("API_KEYS_FILE", "/dev/null"), ("OPERATIONS_KEYS_FILE", "/"),
            ("WEBHOOK_SECRET_FILE", "/nowhere"), ("WEBHOOK_SECRET_FILE", "/dev/null"), ("ALLOW_ANONYMOUS", "perhaps"),
            ("CACHE_DIR", "~nobody-of-this-name/x"),
        )
    ),
]  # fmt: skip
if os.getuid() == 0:  # as in a container that runs as a number: no HOME, no entry in /etc/passwd
    WRONG.append(("PREDICTOR_CACHE_DIR", {"uid": "54321"}))


# `python -m predictor` for each environment, in a process of its own: forked from one that has imported the
# command already, because that takes most of a second.
FORKS = """
import json, os, runpy, signal, sys, tempfile
import predictor.cli
from predictor.settings import Settings
Settings.model_validate({"MLFLOW_TRACKING_URI": "http://h"})  # imports what it needs
for environment in json.load(sys.stdin):
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            signal.alarm(20)  # one that serves instead
            os.environb.clear()
            if uid := environment.pop("uid", None):
                del environment["HOME"]
                os.setuid(int(uid))
            for name, value in environment.items():
                os.environb[name.encode()] = value.encode(errors="surrogateescape")
            try:
                runpy.run_module("predictor", run_name="__main__")
            except SystemExit as ended:
                sys.stderr.flush()
                os._exit(ended.code)  # tearing the interpreter down takes longer than all else
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        print(json.dumps([code, said.read().decode()]), flush=True)
"""


def environment_of(changes: dict[str, str]) -> dict[str, str]:
    return {**_CLEAN, "MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "PREDICTOR_PORT": "0", **changes}


@pytest.fixture(scope="module")
def ended() -> list[tuple[int, str]]:
    """The exit code and the output of the process of each wrong environment."""
    told = json.dumps([environment_of(changes) for _, changes in WRONG])
    done = subprocess.run(
        [sys.executable, "-c", FORKS], input=told, capture_output=True, text=True, check=True,
        timeout=150, cwd=ROOT,
    )  # fmt: skip
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("place", range(len(WRONG)), ids=lambda place: f"{WRONG[place][0]}-{place}")
def test_it_ends_in_one_line_that_names_the_variable(ended, place):
    """Exit code 2, no traceback, and no part of a secret."""
    variable, environment = WRONG[place]
    code, said = ended[place]
    assert code == 2, (environment, said[-500:])
    assert said.count("\n") == 1, (environment, said)
    assert said.startswith(f"mlflow-hotswap: {variable}"), (environment, said)
    assert SECRET not in said, (environment, said)
