"""Settings are read from the environment once, and a wrong one names its variable."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from demo.processes import ROOT
from predictor.errors import SettingsError
from predictor.model.servable import Interrupt
from predictor.registry.client import tracking_server
from predictor.service import compose
from predictor.settings import Settings, variable
from tests.predictor.parts import version, write_artifact

PREDICTOR = ROOT / "predictor"
VARIABLES = {variable(name): name for name in Settings.model_fields}
READ = [
    ("MLFLOW_TRACKING_URI", "https://mlflow.example/prefix/", "https://mlflow.example/prefix"),
    ("MLFLOW_TRACKING_USERNAME", "ada", "ada"),
    ("MLFLOW_TRACKING_INSECURE_TLS", "true", True),
    ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/ca.pem", Path("/ca.pem")),
    ("MLFLOW_TRACKING_CLIENT_CERT_PATH", "/me.pem", Path("/me.pem")),
    ("PREDICTOR_MODEL_URI", "models:/m@champion", "models:/m@champion"),
    ("PREDICTOR_HOST", "0.0.0.0", "0.0.0.0"),
    ("PREDICTOR_PORT", "0", 0),
    ("PREDICTOR_WORKERS", "2", 2),
    ("PREDICTOR_POLL_SECONDS", "0.5", 0.5),
    ("PREDICTOR_CACHE_DIR", "~/x", Path("~/x").expanduser()),
    ("PREDICTOR_WHEN_NONE", "keep", "keep"),
    ("PREDICTOR_EXTRA_FIELDS", "ignore", "ignore"),
    ("PREDICTOR_MAX_BODY_BYTES", "1", 1),
    ("PREDICTOR_MAX_MODEL_BYTES", "99", 99),
    ("PREDICTOR_API_KEYS_FILE", "/keys", Path("/keys")),
    ("PREDICTOR_APPROVERS_FILE", "/approvers", Path("/approvers")),
    ("PREDICTOR_OPERATIONS_KEYS_FILE", "/keys", Path("/keys")),
    ("PREDICTOR_ALLOW_ANONYMOUS", "true", True),
    (
        "PREDICTOR_CORS_ORIGINS",
        " https://App.example , http://b.example:80, http://[::1]:8080",
        "https://app.example,http://b.example,http://[::1]:8080",
    ),
    ("PREDICTOR_NATS_URL", " tls://a:4222 , nats://b", "tls://a:4222,nats://b"),
    ("PREDICTOR_NATS_CREDENTIALS_FILE", "/credentials", Path("/credentials")),
    ("PREDICTOR_RECORD_URI", "s3://bucket/records", "s3://bucket/records"),
    ("PREDICTOR_DRIFT_FEATURES", "50", 50),
    ("PREDICTOR_RECORD_WHEN_FULL", "refuse", "refuse"),
    ("PREDICTOR_RECORD_PERCENT", "0.5", 0.5),
    ("PREDICTOR_RECORD_OMIT", "age,ward:hash", "age,ward:hash"),
    ("PREDICTOR_RECORD_HASH_KEY_FILE", "/key", Path("/key")),
    ("PREDICTOR_RECORD_SECONDS", "5", 5.0),
    ("PREDICTOR_RECORD_DAYS", "90", 90),
    ("PREDICTOR_RECORD_SPOOL_DIR", "/spool", Path("/spool")),
    ("PREDICTOR_RECORD_MAX_BYTES", "2000000", 2_000_000),
    ("PREDICTOR_SHADOW_URI", "models:/m@challenger", "models:/m@challenger"),
    ("PREDICTOR_SHADOW_PERCENT", "10", 10.0),
    ("PREDICTOR_SHADOW_MAX_BYTES", "200000000", 200_000_000),
    ("PREDICTOR_LOG_LEVEL", "debug", "debug"),
    ("PREDICTOR_GRPC_PORT", "9000", 9000),
    ("PREDICTOR_MAX_HEADER_BYTES", "2048", 2048),
    ("PREDICTOR_MAX_CONNECTIONS", "7", 7),
    ("PREDICTOR_MAX_QUEUED_ROWS", "8", 8),
    ("PREDICTOR_MAX_QUEUED_BATCHES", "9", 9),
    ("PREDICTOR_MAX_EVENT_STREAMS", "0", 0),
    ("PREDICTOR_FAST_LANE", "false", False),
    ("PREDICTOR_HEADER_SECONDS", "1.5", 1.5),
    ("PREDICTOR_BODY_SECONDS", "2.5", 2.5),
    ("PREDICTOR_KEEP_ALIVE_SECONDS", "3", 3),
    ("PREDICTOR_SHUTDOWN_SECONDS", "4", 4),
    ("PREDICTOR_TLS_CERTIFICATE", "/chain.pem", Path("/chain.pem")),
    ("PREDICTOR_TLS_KEY", "/key.pem", Path("/key.pem")),
    ("PREDICTOR_WEBHOOK_SECRET_FILE", "/secret", Path("/secret")),
    ("PREDICTOR_LOAD_SECONDS", "5.5", 5.5),
    ("PREDICTOR_INFERENCE_SECONDS", "6.5", 6.5),
    ("PREDICTOR_EXTRA_FIELDS", "ignore", "ignore"),
    ("OTEL_TRACES_EXPORTER", "otlp", "otlp"),
    ("MLFLOW_WORKSPACE", "team-a", "team-a"),
    ("MLFLOW_TRACKING_TOKEN_FILE", "/token", Path("/token")),
    ("MLFLOW_TRACKING_AUTH", "sso", "sso"),
    ("DATABRICKS_HOST", "dbc.example", "dbc.example"),
    ("DATABRICKS_CLIENT_ID", "an-id", "an-id"),
    ("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000", "http://minio:9000"),
    ("MLFLOW_S3_IGNORE_TLS", "true", True),
    ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path", "path"),
    ("PREDICTOR_ARTIFACT_HOSTS", "https://a.example:8443, b:80", "https://a.example:8443, b:80"),
]
SECRETS = ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_CLIENT_SECRET"]
CATALOG = {
    "MLFLOW_TRACKING_URI": "databricks",
    "DATABRICKS_HOST": "dbc.example",
    "DATABRICKS_CLIENT_ID": "an-id",
    "DATABRICKS_CLIENT_SECRET": "s3cret",
    "PREDICTOR_MODEL_URI": "models:/main.ward.m@champion",
}


@pytest.fixture(autouse=True)
def _only_the_address_is_set(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")


def test_defaults():
    """Only the tracking server's address has to be set."""
    settings = Settings.read()
    assert settings.model_uri == "models:/breast-cancer/Production"
    assert (settings.host, settings.port, settings.poll_seconds) == ("127.0.0.1", 8000, 2)
    assert (settings.when_none, settings.max_body_bytes) == ("stop", 1_048_576)
    assert settings.cache_dir.is_absolute()


@pytest.mark.parametrize(("name", "text", "value"), READ)
def test_every_variable_is_read(monkeypatch, name, text, value):
    """Each variable reaches the field that it is documented for."""
    monkeypatch.setenv(name, text)
    assert getattr(Settings.read(), VARIABLES[name]) == value


def test_no_setting_is_forgotten():
    """Each new setting is in the lists above, with a value other than its default, and has a description."""
    assert {*SECRETS, *(name for name, _, _ in READ)} == VARIABLES.keys()
    for name, _, value in READ:
        field = Settings.model_fields[VARIABLES[name]]
        assert value != field.default
        assert field.description


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - {"databricks_host"}))
def test_every_setting_is_used(name):
    """No setting is without effect. The host of Databricks becomes the address of the registry."""
    code = [path.read_text() for path in PREDICTOR.rglob("*.py") if path.name != "settings.py"]
    assert any(re.search(rf"\.{name}\b", text) for text in code)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_read_and_not_shown(monkeypatch, name):
    """A settings object can be printed without its secrets."""
    monkeypatch.setenv(name, "s3cret")
    settings = Settings.read()
    assert getattr(settings, VARIABLES[name]).get_secret_value() == "s3cret"
    assert "s3cret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PREDICTOR_PORT", "abc"), ("PREDICTOR_PORT", "65536"), ("PREDICTOR_PORT", "-1"),
        ("PREDICTOR_POLL_SECONDS", "0"), ("PREDICTOR_POLL_SECONDS", "nan"),
        ("PREDICTOR_POLL_SECONDS", "3601"), ("PREDICTOR_WHEN_NONE", "maybe"),
        ("PREDICTOR_MAX_BODY_BYTES", "0"), ("PREDICTOR_MAX_MODEL_BYTES", "x"),
        ("PREDICTOR_SHADOW_URI", "models:/breast-cancer/production"), ("PREDICTOR_SHADOW_PERCENT", "0"),
        ("PREDICTOR_SHADOW_MAX_BYTES", "1000"),
        ("PREDICTOR_LOG_LEVEL", "loud"), ("PREDICTOR_MODEL_URI", "breast-cancer"),
        ("MLFLOW_TRACKING_INSECURE_TLS", "perhaps"), ("PREDICTOR_ALLOW_ANONYMOUS", "perhaps"),
        ("PREDICTOR_CORS_ORIGINS", "*"), ("PREDICTOR_CORS_ORIGINS", "null"),
        ("PREDICTOR_CORS_ORIGINS", "app.example"), ("PREDICTOR_CORS_ORIGINS", "https://*.example"),
        ("PREDICTOR_CORS_ORIGINS", "https://a.example/"), ("PREDICTOR_CORS_ORIGINS", "ftp://a"),
        ("PREDICTOR_CORS_ORIGINS", "https://u:p@a.example"), ("PREDICTOR_CORS_ORIGINS", "https://"),
        ("PREDICTOR_CORS_ORIGINS", "https://a.example https://b.example"),
        ("PREDICTOR_CORS_ORIGINS", "https://a:x"), ("PREDICTOR_CORS_ORIGINS", "https://ä.example"),
        ("PREDICTOR_RECORD_WHEN_FULL", "wait"), ("PREDICTOR_RECORD_PERCENT", "0"),
        ("PREDICTOR_RECORD_PERCENT", "101"), ("PREDICTOR_RECORD_SECONDS", "0"),
        ("PREDICTOR_RECORD_DAYS", "-1"), ("PREDICTOR_RECORD_MAX_BYTES", "1024"),
        ("PREDICTOR_NATS_URL", "nats:4222"), ("PREDICTOR_NATS_URL", "http://nats:4222"),
        ("PREDICTOR_NATS_URL", "nats://"), ("PREDICTOR_NATS_URL", "nats://a:x"),
        ("PREDICTOR_NATS_URL", "nats://a:0"), ("PREDICTOR_NATS_URL", "nats://a/b"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_variable(monkeypatch, name, text):
    """The error has the name of the variable."""
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Settings.read()


def test_credentials_in_the_address_of_nats_are_refused_and_not_shown(monkeypatch):
    """They belong into a file, because variables are seen by more people."""
    monkeypatch.setenv("PREDICTOR_NATS_URL", "nats://hotswap:s3cret@nats:4222")
    with pytest.raises(SettingsError, match="PREDICTOR_NATS_CREDENTIALS_FILE") as refused:
        Settings.read()
    assert "s3cret" not in str(refused.value)


def test_all_wrong_values_are_named_at_once(monkeypatch):
    """One start shows all mistakes."""
    monkeypatch.setenv("PREDICTOR_PORT", "x")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
    with pytest.raises(SettingsError, match=r"MLFLOW_TRACKING_URI: .*PREDICTOR_PORT: "):
        Settings.read()


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "./mlruns", "http://", "http://h:x", "http//h"]
)
def test_the_error_for_a_wrong_tracking_uri_says_how_to_start_a_server(monkeypatch, uri):
    """The error has the command."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(SettingsError, match=r"MLFLOW_TRACKING_URI: .*`mlflow server "):
        Settings.read()


def test_the_error_without_a_tracking_uri_says_how_to_start_a_server(monkeypatch):
    """The error names the only variable without a default."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(SettingsError, match=r"MLFLOW_TRACKING_URI: .*`mlflow server "):
        Settings.read()


def test_an_empty_variable_is_not_set(monkeypatch):
    """A compose file that passes a variable on without a value changes nothing."""
    monkeypatch.setenv("PREDICTOR_PORT", "")
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
    assert Settings.read().port == 8000
    assert Settings.read().tracking_server_cert_path is None


def test_settings_do_not_change():
    """Settings are immutable."""
    with pytest.raises(ValidationError):
        Settings.read().port = 1


@pytest.mark.parametrize(
    "name", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"]
)
@pytest.mark.parametrize("text", ["/nowhere/ca.pem", __file__])
def test_a_certificate_that_cannot_be_read_names_its_variable(monkeypatch, name, text):
    """The start fails for a missing file and for one without a certificate."""
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        tracking_server(Settings.read())


def test_user_and_password_in_the_address_are_taken_out_of_it(monkeypatch):
    """They are removed from the address, which is shown in `/model` and logs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ada:p%40ss%C3%A9@mlflow.example/mlflow/")
    settings = Settings.read()
    assert settings.tracking_uri == "https://mlflow.example/mlflow"
    assert settings.tracking_username == "ada"
    assert settings.tracking_password.get_secret_value() == "p@ssé"


@pytest.mark.parametrize(
    "host", ["dbc.example", "https://dbc.example/", "https://dbc.example/?o=7#x"]
)
def test_databricks_is_the_workspace_of_its_host(monkeypatch, host):
    """Its address takes the place of `databricks`, and its sign-in is chosen."""
    for name, value in {**CATALOG, "DATABRICKS_HOST": host}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.read()
    assert (settings.tracking_uri, settings.unity_catalog) == ("https://dbc.example", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"DATABRICKS_HOST": ""}, "MLFLOW_TRACKING_URI: .*DATABRICKS_HOST must be its address"),
        ({"MLFLOW_TRACKING_URI": "databricks://ward"}, "MLFLOW_TRACKING_URI: .*profiles of"),
        ({"MLFLOW_TRACKING_URI": "databricks-uc"}, "MLFLOW_TRACKING_URI: .*DATABRICKS_HOST"),
        ({"DATABRICKS_HOST": "http://dbc.example"}, "DATABRICKS_HOST: not the https address"),
        ({"DATABRICKS_HOST": "https://u:s3cret@dbc.example"}, "DATABRICKS_HOST: not the https address"),
        ({"DATABRICKS_HOST": "a b"}, "DATABRICKS_HOST: not the https address"),
        ({"DATABRICKS_CLIENT_ID": ""}, "DATABRICKS_CLIENT_ID: missing"),
        ({"DATABRICKS_CLIENT_SECRET": ""}, "DATABRICKS_CLIENT_SECRET: missing"),
        ({"PREDICTOR_MODEL_URI": "models:/main.ward.m/Production"}, "PREDICTOR_MODEL_URI: .*have none; use an alias"),
        ({"PREDICTOR_MODEL_URI": ""}, "PREDICTOR_MODEL_URI: .*have none; use an alias"),
        ({"PREDICTOR_SHADOW_URI": "models:/main.ward.m/Staging"}, "PREDICTOR_SHADOW_URI: .*have none; use an alias"),
        ({"PREDICTOR_MODEL_URI": "models:/m@champion"}, "PREDICTOR_MODEL_URI: .*CATALOG.SCHEMA.NAME"),
        ({"PREDICTOR_MODEL_URI": "models:/main..m@champion"}, "PREDICTOR_MODEL_URI: .*CATALOG.SCHEMA.NAME"),
    ],
)  # fmt: skip
def test_what_databricks_needs_is_named(monkeypatch, change, words):
    """Its host, its service principal, and a model of Unity Catalog, which has no stages."""
    for name, value in {**CATALOG, **change}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.read()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"])
def test_whitespace_around_a_secret_is_stripped(monkeypatch, name):
    """Files with secrets usually end with a line break."""
    monkeypatch.setenv(name, " s3cret\r\n")
    assert getattr(Settings.read(), VARIABLES[name]).get_secret_value() == "s3cret"


@pytest.mark.parametrize(("said", "ignored"), [("refuse", False), ("ignore", True)])
@pytest.mark.parametrize("traces", ["none", "console"])
def test_the_setting_of_extra_fields_reaches_the_decoder(tmp_path, said, ignored, traces):
    """With and without traces."""
    settings = Settings(
        MLFLOW_TRACKING_URI="http://registry",
        cache_dir=tmp_path,
        extra_fields=said,
        OTEL_TRACES_EXPORTER=traces,
    )
    service = compose(settings)
    load = service.reconciler._builder._load
    loaded = load(version(1), write_artifact(tmp_path / "files"), Interrupt())
    assert loaded.decoder.fields.ignore_unknown is ignored
    service.tracer.close()
