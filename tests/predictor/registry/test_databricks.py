"""Databricks' Unity Catalog beside a fake workspace; never tried beside a real one."""

import asyncio
import os
import subprocess
import sys

import httpx
import pytest

from demo.processes import running
from predictor.errors import LoadError, RegistryRefused, RegistryUnreachable
from predictor.registry.client import TrackingServer
from predictor.registry.databricks.oauth import DatabricksOAuth
from predictor.registry.sign_in import SignIn
from predictor.service import compose
from predictor.settings import Settings
from tests.end_to_end.servers import polled_once, put_into, s3
from tests.predictor.graphs import classifier
from tests.predictor.parts import write_artifact
from tests.predictor.registry.databricks_fake import CLIENT, NAME, Workspace

ALIAS = f"/api/2.0/mlflow/unity-catalog/registered-models/alias?name={NAME}&alias=champion"


@pytest.fixture
def workspace(tmp_path):
    found = Workspace()
    for number in (1, 2):
        files = write_artifact(tmp_path / f"files{number}", classifier((float(number), -1.0)))
        found.files[str(number)] = files.contents
    yield found
    found.close()


def settings(workspace, folder, **more):
    return Settings.model_validate(
        {
            "MLFLOW_TRACKING_URI": "databricks", "DATABRICKS_HOST": workspace.url, "cache_dir": str(folder / "cache"),
            "DATABRICKS_CLIENT_ID": CLIENT[0], "DATABRICKS_CLIENT_SECRET": CLIENT[1],
            "model_uri": f"models:/{NAME}@champion", **more,
        }
    )  # fmt: skip


async def polled(service):
    """The reconciler after one poll and the load that follows it."""
    await service.reconciler.reconcile()
    await service.reconciler.settled()
    return service.reconciler


def serving(reconciler):
    return reconciler.serving and reconciler.serving.model_version.version


class TestCatalog:
    async def test_an_alias_is_followed(self, workspace, tmp_path):
        """Set, moved, deleted: the service loads, swaps and stops."""
        service = compose(settings(workspace, tmp_path))
        found = await polled(service)
        assert serving(found) is None
        assert found.registry_status.names_none
        for number in ("2", "1"):
            workspace.aliases["champion"] = number
            found = await polled(service)
            assert serving(found) == number
        assert found.serving.model_version.tags == {"kind": "test"}
        workspace.aliases.clear()
        assert serving(await polled(service)) is None
        assert len(workspace.issued) == 1
        await service.reconciler.close()

    async def test_a_number(self, workspace, tmp_path):
        """As with MLflow's own registry."""
        service = compose(settings(workspace, tmp_path, model_uri=f"models:/{NAME}/2"))
        assert serving(await polled(service)) == "2"
        await service.reconciler.close()

    async def test_a_missing_permission_is_named_in_the_words_of_the_catalog(
        self, workspace, tmp_path
    ):
        """The serving version stays."""
        workspace.aliases["champion"] = "1"
        service = compose(settings(workspace, tmp_path))
        assert serving(await polled(service)) == "1"
        workspace.forbidden = True
        found = await polled(service)
        assert f"needs EXECUTE on the model {NAME}, USE SCHEMA" in found.registry_status.fault
        assert serving(found) == "1"
        await service.reconciler.close()

    async def test_signed_urls_of_the_default_storage(self, workspace, tmp_path):
        """From a host that the settings allow; it gets the URL's headers, and no token."""
        workspace.storage, workspace.aliases["champion"] = "signed urls", "2"
        service = compose(settings(workspace, tmp_path))
        failure = (await polled(service)).failure
        assert failure.stage == "fetch"
        assert f"PREDICTOR_ARTIFACT_HOSTS may list {workspace.url}" in failure.reason
        await service.reconciler.close()
        service = compose(settings(workspace, tmp_path, artifact_hosts=workspace.url))
        assert serving(await polled(service)) == "2"
        assert await service.reconciler._source.fingerprint(
            service.reconciler.serving.model_version
        )
        del workspace.files["2"]["MLmodel"]
        files = service.reconciler._source._stores.open(f"databricks-uc:/{NAME}/2")
        with pytest.raises(LoadError, match="answers HTTP 404") as caught:
            await files.read("MLmodel", 1000)
        assert "s3cret" not in str(caught.value)
        await service.reconciler.close()

    async def test_a_store_that_is_not_read_is_named(self, workspace, tmp_path):
        """Temporary credentials of Azure and Google are not used yet."""
        workspace.storage = "abfss://files@ward.dfs.core.windows.net/m"
        workspace.aliases["champion"] = "1"
        service = compose(settings(workspace, tmp_path))
        failure = (await polled(service)).failure
        assert "only S3 is read" in failure.reason
        assert "s3cret" not in failure.reason
        await service.reconciler.close()

    @pytest.mark.whole
    def test_the_customers_own_s3(self, workspace, tmp_path):
        """With temporary keys, in the environment that has the extra `s3`; the store is moto's."""
        with running(s3(tmp_path), "/moto-api/") as store:
            put_into(store.url, "s3://catalog/a b", workspace.files["1"])
            workspace.storage, workspace.aliases["champion"] = "s3://catalog/a b", "1"
            workspace.keys = ("a-key", "s3cret", "a-session")
            env = {
                "MLFLOW_TRACKING_URI": "databricks", "DATABRICKS_HOST": workspace.url, "MLFLOW_S3_ENDPOINT_URL": store.url,
                "DATABRICKS_CLIENT_ID": CLIENT[0], "DATABRICKS_CLIENT_SECRET": CLIENT[1], "AWS_DEFAULT_REGION": "eu-central-1",
                "PREDICTOR_MODEL_URI": f"models:/{NAME}@champion", "PREDICTOR_CACHE_DIR": str(tmp_path / "cache"),
            }  # fmt: skip
            assert polled_once(env) == "1"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


async def _client(workspace, clock, secret=CLIENT[1]):
    auth = DatabricksOAuth(workspace.url, CLIENT[0], secret, clock)
    client = httpx.AsyncClient(base_url=workspace.url, timeout=5)
    return TrackingServer(client, SignIn("the sign-in `databricks`", auth=auth, secrets=(secret,)))


class TestOAuth:
    async def test_one_token_for_all_requests_until_it_expires(self, workspace):
        """Requested once, also by requests at the same time, and again a minute before it expires."""
        clock = Clock()
        server = await _client(workspace, clock)

        async def call():
            return (await server.get(ALIAS, max_bytes=1000)).status

        assert await asyncio.gather(*(call() for _ in range(10))) == [404] * 10
        clock.now += 3539
        await call()
        assert len(workspace.issued) == 1
        clock.now += 2
        assert await asyncio.gather(*(call() for _ in range(10))) == [404] * 10
        assert len(workspace.issued) == 2
        await server.close()

    async def test_a_token_of_a_few_seconds(self, workspace):
        """It is used for half its lifetime."""
        workspace.lifetime, clock = 10, Clock()
        server = await _client(workspace, clock)
        for seconds, tokens in ((0, 1), (4, 1), (2, 2)):
            clock.now += seconds
            await server.get(ALIAS, max_bytes=1000)
            assert len(workspace.issued) == tokens
        await server.close()

    async def test_a_revoked_token_is_replaced_once(self, workspace):
        """For all requests that it was refused to."""
        server = await _client(workspace, Clock())
        await server.get(ALIAS, max_bytes=1000)
        workspace.revoke()
        found = await asyncio.gather(*(server.get(ALIAS, max_bytes=1000) for _ in range(5)))
        assert [each.status for each in found] == [404] * 5
        assert len(workspace.issued) == 2
        await server.close()

    async def test_a_wrong_secret(self, workspace):
        """The error names the variables, and no secret."""
        server = await _client(workspace, Clock(), secret="s3cret-but-wrong")
        with pytest.raises(RegistryRefused, match="DATABRICKS_CLIENT_SECRET") as caught:
            await server.get(ALIAS, max_bytes=1000)
        assert "invalid_client" in str(caught.value)
        assert "s3cret" not in str(caught.value)
        await server.close()

    async def test_a_token_server_that_is_down(self, workspace):
        """Like a registry that is down: the serving version stays; then it is requested again."""
        workspace.token_status = 503
        server = await _client(workspace, Clock())
        with pytest.raises(RegistryUnreachable, match="HTTP 503"):
            await server.get(ALIAS, max_bytes=1000)
        workspace.token_status = 200
        assert (await server.get(ALIAS, max_bytes=1000)).status == 404
        await server.close()


_MLFLOW = """
from mlflow import MlflowClient
client = MlflowClient(tracking_uri="databricks", registry_uri="databricks-uc")
found = client.get_model_version_by_alias("main.ward.m", "champion")
print(found.name, found.version, client.get_model_version_download_uri("main.ward.m", "1"))
"""


@pytest.mark.whole
def test_mlflows_own_client_reads_from_the_fake(workspace):
    """With the token that Databricks' SDK gets from it: the fake obeys the protocol as they know it."""
    workspace.aliases["champion"] = "2"
    env = {
        "DATABRICKS_HOST": workspace.url, "DATABRICKS_CLIENT_ID": CLIENT[0], "DATABRICKS_CLIENT_SECRET": CLIENT[1],
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "DATABRICKS_AUTH_TYPE": "oauth-m2m",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _MLFLOW], env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == [NAME, "2", "files", "api"], done.stderr[-2000:]
    assert workspace.issued
