"""The registry's part beside every server that it may be: MLflow 3, 2.9 and the last 2, workspaces, passwords, S3."""

import os
import shutil
import sys
import time

import httpx
import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from demo.processes import free_port, predictor_settings, running, spawn, start_mlflow
from predictor.model_version import ModelUri
from predictor.operations.transitions import promoted_at
from predictor.registry.artifacts import ArtifactStores
from predictor.registry.cache import Cache
from predictor.registry.source import RegistrySource
from predictor.registry.versions import RegistryClient
from predictor.service import compose
from predictor.settings import Settings
from tests.end_to_end.servers import Shelf, polled_once, put_into, s3
from tests.predictor.graphs import classifier
from tests.predictor.parts import a_client, write_artifact
from tests.required import environment
from trainer.cli import app

pytestmark = pytest.mark.whole


def settings(url, folder, **more):
    return Settings.model_validate(
        {"MLFLOW_TRACKING_URI": url, "cache_dir": str(folder / "cache"), "model_uri": "models:/m/Production", **more}
    )  # fmt: skip


async def polled(settings):
    """A service after one poll and what follows from it."""
    service = compose(settings)
    await service.reconciler.reconcile()
    await service.reconciler.settled()
    await service.reconciler.close()
    return service.reconciler


def serving(reconciler):
    found = reconciler.serving
    return found and (found.model_version.version, found.artifact.onnx_sha256)


def _mlflow2(tmp_path_factory, name):
    with running(start_mlflow(tmp_path_factory.mktemp(name), python=environment(name))) as server:
        yield server.url


@pytest.fixture(scope="module")
def mlflow2(tmp_path_factory):
    """The last MLflow 2."""
    yield from _mlflow2(tmp_path_factory, "mlflow2")


@pytest.fixture(scope="module")
def mlflow29(tmp_path_factory):
    """MLflow 2.9, where stages began to warn."""
    if sys.version_info >= (3, 13):
        pytest.skip("MLflow 2.9 needs an older Python")
    yield from _mlflow2(tmp_path_factory, "mlflow29")


@pytest.fixture(params=["MLflow 3", "mlflow2", "mlflow29"])
def url(request):
    """Each of the servers."""
    if request.param == "MLflow 3":
        return request.getfixturevalue("mlflow_server").url
    return request.getfixturevalue(request.param)


@pytest.fixture
def name():
    return f"m{time.time_ns()}"


async def test_promotion_alias_and_demotion(url, name, tmp_path):
    """By stage and by alias, through the artifact proxy."""
    shelf, files = Shelf(url), write_artifact(tmp_path / "files")
    run_id, uri = shelf.run()
    shelf.upload(uri, files.contents)
    shelf.model(name)
    number = shelf.version(name, uri, run_id)
    by_stage = settings(url, tmp_path, model_uri=f"models:/{name}/Production")
    by_alias = settings(url, tmp_path, model_uri=f"models:/{name}@champion")
    for each in (by_stage, by_alias):
        nothing = await polled(each)
        assert nothing.registry_status.fault is None
        assert nothing.registry_status.names_none
    shelf.stage(name, number, "Production")
    shelf.call("POST", "/registered-models/alias", name=name, alias="champion", version=number)
    for each in (by_stage, by_alias):
        assert serving(await polled(each)) == (number, files.artifact.onnx_sha256)
    shelf.stage(name, number, "Archived")
    assert serving(await polled(by_stage)) is None


async def test_every_form_of_a_source(url, name, tmp_path):
    """The run's files by each address that leads to them; a copy of a copy, too."""
    shelf, files = Shelf(url), write_artifact(tmp_path / "files")
    run_id, uri = shelf.run()
    shelf.upload(f"{uri}/a b", files.contents)
    shelf.model(name)
    sources = [
        f"{uri}/a b",
        f"runs:/{run_id}/a b",
        f"models:/{name}/1",
        f"models:/{name}/2",
        f"models:/{name}/4",
    ]
    async with a_client(url) as client:
        for source in sources:
            number = shelf.version(name, source, run_id)
            registry = RegistryClient(client, ModelUri.parse(f"models:/{name}/{number}"))
            cache = Cache(tmp_path / number, "")
            fetched = await RegistrySource(registry, ArtifactStores(client), cache, 1 << 30).fetch(
                await registry.aspired()
            )
            assert fetched.artifact.onnx_sha256 == files.artifact.onnx_sha256, source
        # MLflow 3 registers no address with a host, unless it is told to.
        with_host = f"mlflow-artifacts://{url.removeprefix('http://')}/{uri.removeprefix('mlflow-artifacts:/')}"
        for address in (
            f"{with_host}/a b",
            f"{with_host}/a%20b",
            f"{url}/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}/a b",
        ):
            content = await ArtifactStores(client).open(address).read("model.onnx", 1 << 30)
            assert content == files.contents["model.onnx"], address


async def test_a_model_that_mlflow_3_logged_is_found_by_its_run(mlflow_server, name, tmp_path):
    """`runs:/RUN/NAME` and `models:/m-ID` lead to the logged model, which is not among the run's artifacts."""
    shelf, files = Shelf(mlflow_server.url), write_artifact(tmp_path / "files")
    run_id, _ = shelf.run()
    made = shelf.call(
        "POST", "/logged-models", experiment_id="0", name="net", source_run_id=run_id
    )["model"]["info"]
    shelf.upload(made["artifact_uri"], files.contents)
    shelf.call(
        "POST", "/runs/outputs", run_id=run_id, models=[{"model_id": made["model_id"], "step": 0}]
    )
    shelf.call(
        "PATCH",
        f"/logged-models/{made['model_id']}",
        model_id=made["model_id"],
        status="LOGGED_MODEL_READY",
    )
    shelf.model(name)
    async with a_client(mlflow_server.url) as client:
        for source, more in (
            (f"runs:/{run_id}/net", {}),
            (f"models:/{made['model_id']}", {"model_id": made["model_id"]}),
        ):
            number = shelf.version(name, source, run_id, **more)
            registry = RegistryClient(client, ModelUri.parse(f"models:/{name}/{number}"))
            source_of = RegistrySource(
                registry, ArtifactStores(client), Cache(tmp_path / number, ""), 1 << 30
            )
            fetched = await source_of.fetch(await registry.aspired())
            assert fetched.artifact.onnx_sha256 == files.artifact.onnx_sha256, source


async def test_a_copy_that_mlflows_client_made(url, name, tmp_path):
    """`copy_model_version` registers the files of one model under another name; a copy can be copied."""
    shelf, files = Shelf(url), write_artifact(tmp_path / "files")
    run_id, uri = shelf.run()
    shelf.upload(uri, files.contents)
    shelf.model(name)
    shelf.version(name, f"runs:/{run_id}/", run_id)
    client = MlflowClient(url)
    client.copy_model_version(f"models:/{name}/1", f"{name}-staging")
    client.copy_model_version(f"models:/{name}-staging/1", f"{name}-prod")
    client.set_registered_model_alias(f"{name}-prod", "champion", "1")
    found = await polled(settings(url, tmp_path, model_uri=f"models:/{name}-prod@champion"))
    assert serving(found) == ("1", files.artifact.onnx_sha256)


@pytest.mark.parametrize("pointer", ["stage", "alias"])
def test_the_trainers_commands(url, name, pointer):
    """What reads and moves versions works beside MLflow 2, too, by stage and by alias."""
    shelf = Shelf(url)
    shelf.model(name)
    for _ in range(2):
        run_id, uri = shelf.run()
        shelf.version(name, uri, run_id)

    def trainer(*arguments):
        options = ["--model", name, *(["--pointer", pointer] if arguments[0] != "history" else [])]
        result = CliRunner().invoke(app, [*arguments, *options], env={"MLFLOW_TRACKING_URI": url})
        assert result.exit_code == 0, (arguments, result.output)
        return result.output

    for number in ("1", "2"):
        trainer("promote", number, "--to", "Production", "--force", "--reason", "a test")
    assert f"serving: version 2 of {name}; a rollback brings version 1 back" in trainer("status")
    assert f"serving: version 1 of {name}" in trainer("rollback")
    trainer("gates", "test_roc_auc:0.01")
    assert "ROC-AUC" in trainer("leaderboard")
    trainer("promote", "2", "--to", "Staging")
    trainer("demote", "2")
    moves, gates = trainer("history").split("changes of the gates that decide a promotion:\n")
    assert (len(moves.splitlines()), len(gates.splitlines())) == (6, 2)  # each with its heading


@pytest.mark.parametrize("pointer", ["stage", "alias"])
async def test_a_version_that_was_moved_away_and_back_in_mlflow(url, name, pointer):
    """By stage, nothing names the trainer's promotion any more; by alias, MLflow keeps nothing that could tell."""
    shelf, client = Shelf(url), MlflowClient(url)
    shelf.model(name)
    for _ in range(2):
        run_id, uri = shelf.run()
        shelf.version(name, uri, run_id)

    def serve_in_mlflow(number):
        if pointer == "alias":
            client.set_registered_model_alias(name, "production", number)
        else:
            client.transition_model_version_stage(
                name, number, "Production", archive_existing_versions=True
            )

    options = ["--model", name, "--pointer", pointer, "--who", "ann"]
    forced = ["--to", "Production", "--force", "--reason", "a test"]
    CliRunner().invoke(app, ["promote", "1", *forced, *options], env={"MLFLOW_TRACKING_URI": url})
    uri = ModelUri.parse(f"models:/{name}{'@production' if pointer == 'alias' else '/Production'}")
    async with a_client(url) as tracking:
        registry = RegistryClient(tracking, uri)
        assert promoted_at(await registry.aspired(), uri)
        client.set_model_version_tag(name, "1", "note", "seen")
        assert promoted_at(await registry.aspired(), uri)
        serve_in_mlflow("2")
        assert not promoted_at(await registry.aspired(), uri)
        serve_in_mlflow("1")
        assert bool(promoted_at(await registry.aspired(), uri)) == (pointer == "alias")
    found = (
        CliRunner().invoke(app, ["status", *options[:4]], env={"MLFLOW_TRACKING_URI": url}).stdout
    )
    assert ("outside the trainer" in found) == (pointer == "stage")


async def test_artifact_roots_without_the_proxy(store, tmp_path):
    """A server that serves no artifacts: those of a run are in a folder, or in an S3 bucket."""
    folder = tmp_path / "artifact root"
    options = ["--no-serve-artifacts", "--default-artifact-root", str(folder)]
    files = write_artifact(tmp_path / "files")
    with running(start_mlflow(tmp_path / "mlflow", options=options)) as server:
        shelf = Shelf(server.url)
        run_id, uri = shelf.run()
        assert uri.startswith(str(folder))
        shutil.copytree(tmp_path / "files", f"{uri}/model")
        shelf.model("m")
        shelf.version("m", f"runs:/{run_id}/model", run_id, stage="Production")
        found = await polled(settings(server.url, tmp_path))
        assert serving(found) == ("1", files.artifact.onnx_sha256)

        experiment = shelf.call(
            "POST", "/experiments/create", name="s3", artifact_location="s3://roots/of experiments"
        )["experiment_id"]
        run_id, uri = shelf.run(experiment)
        put_into(store, f"{uri}/model", files.contents)
        shelf.version("m", f"runs:/{run_id}/model", run_id)
        env = {
            "MLFLOW_TRACKING_URI": server.url, "PREDICTOR_MODEL_URI": "models:/m/2", "MLFLOW_S3_ENDPOINT_URL": store,
            "AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "s3cret",
            "PREDICTOR_CACHE_DIR": str(tmp_path / "s3-cache"),
        }  # fmt: skip
        assert polled_once(env) == "2"


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory):
    """A server with a model of one name in two workspaces; the files' digests by workspace."""
    folder = tmp_path_factory.mktemp("workspaces")
    with running(start_mlflow(folder, options=["--enable-workspaces"])) as server:
        digests = {}
        for place, workspace in enumerate(("team-a", "team-b")):
            made = httpx.post(
                f"{server.url}/api/3.0/mlflow/workspaces", json={"name": workspace}, timeout=60
            )
            assert made.is_success, made.text
            shelf = Shelf(server.url, headers={"X-MLFLOW-WORKSPACE": workspace})
            experiment = shelf.call("POST", "/experiments/create", name="e")["experiment_id"]
            run_id, uri = shelf.run(experiment)
            files = write_artifact(folder / workspace, classifier((place + 1.0, -1.0)))
            shelf.upload(uri, files.contents)
            shelf.model("m")
            shelf.version("m", uri, run_id, stage="Production")
            digests[workspace] = files.artifact.onnx_sha256
        yield server, digests


async def test_only_the_model_of_the_own_workspace_answers(workspaces, tmp_path):
    """Not another's of the same name, and neither from the cache while the registry is down."""
    server, digests = workspaces
    for workspace, digest in digests.items():
        found = await polled(settings(server.url, tmp_path, MLFLOW_WORKSPACE=workspace))
        assert serving(found) == ("1", digest)
    nobody = await polled(settings(server.url, tmp_path))
    assert serving(nobody) is None
    assert nobody.registry_status.names_none
    down = server.url.replace("127.0.0.1", "127.0.0.2")
    (tmp_path / "cache").rename(tmp_path / "kept")
    for workspace in (*digests, ""):
        # The address is part of what the cache is looked up by, so it is given as it was.
        from_cache = await _restored(
            settings(server.url, tmp_path, MLFLOW_WORKSPACE=workspace), tmp_path / "kept", down
        )
        assert from_cache == digests.get(workspace)


async def _restored(settings, folder, down):
    """The digest that a service which cannot reach its registry finds in a cache."""
    service = compose(settings.model_copy(update={"cache_dir": folder}))
    server = service.reconciler._source._stores.registry
    server._client.base_url = down
    await service.reconciler.reconcile()
    await service.reconciler.settled()
    await service.reconciler.close()
    found = service.reconciler.serving
    assert service.reconciler.registry_status.fault is not None
    return found and found.artifact.onnx_sha256


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with MLflow's own basic authentication, and a model that `reader` may read."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{folder / 'auth.db'}\n"
        "admin_username = admin\nadmin_password = administrator\nauth_cache_ttl_seconds = 600\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32,
    }
    server = start_mlflow(folder, options=["--app-name", "basic-auth"], env=env)
    try:
        server.wait_until_answers("/health", seconds=150)
        admin = Shelf(server.url, auth=("admin", "administrator"))
        admin.call("POST", "/users/create", username="reader", password="only-a-reader")
        yield server, admin
    finally:
        server.stop()


def _grant(admin, kind, resource):
    """Let `reader` read something."""
    body = {
        "username": "reader",
        "resource_type": kind,
        "resource_id": resource,
        "permission": "READ",
    }
    made = admin.http.post("/api/3.0/mlflow/users/permissions/grant", json=body)
    assert made.is_success, made.text


async def test_a_missing_permission_is_named(guarded, tmp_path):
    """READ on the model alone is not enough: the artifacts are the experiment's. Then it is given."""
    server, admin = guarded
    files = write_artifact(tmp_path / "files")
    experiment = admin.call("POST", "/experiments/create", name="secret")["experiment_id"]
    run_id, uri = admin.run(experiment)
    admin.upload(uri, files.contents)
    admin.model("m")
    admin.version("m", uri, run_id, stage="Production")
    asked = settings(
        server.url,
        tmp_path,
        MLFLOW_TRACKING_USERNAME="reader",
        MLFLOW_TRACKING_PASSWORD="only-a-reader",
    )
    forbidden = await polled(asked)
    assert "the user reader needs READ on the registered model m" in forbidden.registry_status.fault
    _grant(admin, "registered_model", "m")
    failed = (await polled(asked)).failure
    assert failed.stage == "fetch"
    assert f"the user reader needs READ on the experiment {experiment}" in failed.reason
    assert "only-a-reader" not in failed.reason
    _grant(admin, "experiment", experiment)
    assert serving(await polled(asked)) == ("1", files.artifact.onnx_sha256)
    wrong = settings(
        server.url, tmp_path, MLFLOW_TRACKING_USERNAME="reader", MLFLOW_TRACKING_PASSWORD="guess"
    )
    assert "MLFLOW_TRACKING_PASSWORD" in (await polled(wrong)).registry_status.fault
    for user, password, says in (
        ("admin", "administrator", "serving: version 1 of m"),
        ("reader", "only-a-reader", "serving: version 1 of m"),
        ("reader", "guess", "error: "),
    ):
        env = {
            "MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password,
        }  # fmt: skip
        result = CliRunner().invoke(app, ["status", "--model", "m"], env=env)
        assert says in result.output
        assert "guess" not in result.output


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with running(s3(tmp_path_factory.mktemp("s3")), "/moto-api/") as server:
        yield server.url


def test_a_store_with_the_protocol_of_s3(mlflow_server, store, name, tmp_path):
    """A real process with the extra `s3` reads a source of s3: from the store that MLflow's variable names."""
    files = write_artifact(tmp_path / "files")
    put_into(store, "s3://models/a b", files.contents)
    shelf = Shelf(mlflow_server.url)
    shelf.model(name)
    shelf.version(name, "s3://models/a b", stage="Production")
    shelf.model(f"{name}-missing")
    shelf.version(f"{name}-missing", "s3://models/nowhere", stage="Production")
    env = {
        "MLFLOW_TRACKING_URI": mlflow_server.url, "MLFLOW_S3_ENDPOINT_URL": store, "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "s3cret", "PREDICTOR_POLL_SECONDS": "0.5",
    }  # fmt: skip
    for model, reason in ((name, None), (f"{name}-missing", "NoSuchKey|FileNotFoundError")):
        port, folder = free_port(), tmp_path / model
        more = {
            "PREDICTOR_MODEL_URI": f"models:/{model}/Production",
            **predictor_settings(folder, port),
        }
        command = [environment("stores"), "-m", "predictor"]
        child = spawn(
            command, f"http://127.0.0.1:{port}", folder / "log", {**os.environ, **env, **more}
        )
        with running(child, "/ready" if reason is None else "/health"):
            told = _told(child.url)
        if reason is None:
            assert told["serving"]["digest"] == f"sha256:{files.artifact.onnx_sha256}"
        else:
            assert told["last_failure"]["stage"] == "fetch"
            assert any(each in told["last_failure"]["reason"] for each in reason.split("|"))
        assert "s3cret" not in (folder / "log").read_text()


def _told(url):
    """What `/model` says once something was loaded, or was not."""
    deadline = time.monotonic() + 60
    while True:
        told = httpx.get(f"{url}/model").json()
        if told["serving"] or told["last_failure"] or time.monotonic() > deadline:
            return told
        time.sleep(0.2)
