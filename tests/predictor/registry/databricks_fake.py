"""A fake of a Databricks workspace, written by hand: nothing here was ever compared with a real workspace.

It obeys what is published: OAuth machine-to-machine (https://docs.databricks.com/aws/en/dev-tools/auth/oauth-m2m), and the
paths and messages of MLflow's own client for Unity Catalog, whose protobuf classes write its responses. One test
lets MLflow's client and Databricks' SDK read from it, as a check of the fake.
"""

import base64
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from mlflow.protos import databricks_filesystem_service_pb2 as filesystem
from mlflow.protos import databricks_uc_registry_messages_pb2 as catalog
from mlflow.utils.proto_json_utils import message_to_json

NAME = "main.ward.m"
CLIENT = ("an-id", "s3cret-of-the-principal")
_CATALOG = "/api/2.0/mlflow/unity-catalog/"


class Workspace:
    """A workspace with one model. `files` are those of each version, by path.

    `storage` is how files are read: `files api`, `signed urls`, or an S3 address with its temporary keys.
    `lifetime` is that of tokens, in seconds. `requests` are the paths that were requested.
    """

    def __init__(self):
        self.files = {}
        self.aliases = {}
        self.storage = "files api"
        self.keys = ("", "", "")
        self.lifetime = 3600
        self.tokens = set()
        self.issued = []
        self.requests = []
        self.forbidden = False
        self.token_status = 200
        self._numbers = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.workspace = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def revoke(self):
        """No token that was issued counts any more."""
        self.tokens.clear()

    def token(self, form, authorization):
        """RFC 6749, section 4.4: a token for the client's id and secret."""
        if self.token_status != 200:
            return self.token_status, {"error": "temporarily_unavailable"}
        wanted = "Basic " + base64.b64encode(":".join(CLIENT).encode()).decode()
        if authorization != wanted:
            return 401, {
                "error": "invalid_client",
                "error_description": "Client authentication failed",
            }
        if form != {"grant_type": ["client_credentials"], "scope": ["all-apis"]}:
            return 400, {"error": "invalid_request"}
        token = f"s3cret-token-{next(self._numbers)}"
        self.tokens.add(token)
        self.issued.append(token)
        return 200, {
            "access_token": token, "token_type": "Bearer", "scope": "all-apis", "expires_in": self.lifetime,
        }  # fmt: skip

    def answer(self, method, path, query, body):
        """The answer to a request with a valid token: a status and a message, or bytes."""
        if self.forbidden:
            return 403, {
                "error_code": "PERMISSION_DENIED",
                "message": f"User does not have EXECUTE on '{NAME}'",
            }
        if path.startswith("/api/2.0/fs/files/") and method == "GET":
            return self._file(path.removeprefix("/api/2.0/fs/files"))
        if path.startswith("/api/2.0/fs/directories/") and method == "GET":
            return 200, {
                "contents": [
                    {"path": each, "file_size": len(content)} for each, content in self._paths()
                ]
            }
        if (method, path) == ("POST", "/api/2.0/fs/create-download-url"):
            url = f"{self.url}/storage{body['path']}?X-Signature=s3cret-signature"
            return 200, filesystem.CreateDownloadUrlResponse(
                url=url, headers=[filesystem.HttpHeader(name="x-store", value="yes")]
            )
        return self._registry(method, path.removeprefix(_CATALOG), query, body)

    def _registry(self, method, path, query, body):
        methods = {
            "GET registered-models/alias": self._by_alias,
            "GET registered-models/get": self._model,
            "GET model-versions/get": self._by_number,
            "GET model-versions/get-download-uri": self._location,
            "GET registered-models:is-databricks-sdk-models-artifact-repository-enabled": self._flag,
            "POST model-versions/generate-temporary-credentials": self._temporary,
        }
        called = methods.get(f"{method} {path}")
        values = {**query, **body}
        found = called(**values) if called and values.get("name", NAME) == NAME else None
        return _missing(f"{method} {path} {values}") if found is None else (200, found)

    def _by_alias(self, name, alias):
        number = self.aliases.get(alias)
        return number and catalog.GetModelVersionByAliasResponse(
            model_version=self._version(number)
        )

    def _by_number(self, name, version):
        if version not in self.files:
            return None
        return catalog.GetModelVersionResponse(model_version=self._version(version))

    def _model(self, name):
        return catalog.GetRegisteredModelResponse(
            registered_model=catalog.RegisteredModel(name=name)
        )

    def _location(self, name, version):
        return catalog.GetModelVersionDownloadUriResponse(artifact_uri=self.storage)

    def _flag(self):
        return catalog.IsDatabricksSdkModelsArtifactRepositoryEnabledResponse(
            is_databricks_sdk_models_artifact_repository_enabled=self.storage == "files api"
        )

    def _temporary(self, name, version, operation):
        assert operation == "MODEL_VERSION_OPERATION_READ"
        return catalog.GenerateTemporaryModelVersionCredentialsResponse(
            credentials=self._credentials()
        )

    def _credentials(self):
        if self.storage == "signed urls":
            return catalog.TemporaryCredentials(storage_mode="DEFAULT_STORAGE")
        if not self.storage.startswith("s3:"):
            sas = catalog.AzureUserDelegationSAS(sas_token="s3cret")
            return catalog.TemporaryCredentials(azure_user_delegation_sas=sas)
        key, secret, token = self.keys
        aws = catalog.AwsCredentials(
            access_key_id=key, secret_access_key=secret, session_token=token
        )
        return catalog.TemporaryCredentials(
            aws_temp_credentials=aws, storage_mode="CUSTOMER_HOSTED"
        )

    def _version(self, number):
        return catalog.ModelVersion(
            name=NAME, version=number, creation_timestamp=1_700_000_000_000 + int(number), status="READY",
            source="dbfs:/databricks/mlflow/1", tags=[catalog.ModelVersionTag(key="kind", value="test")],
        )  # fmt: skip

    def _paths(self):
        root = f"/Models/{NAME.replace('.', '/')}"
        return [
            (f"{root}/{number}/{path}", content)
            for number, files in self.files.items()
            for path, content in files.items()
        ]

    def _file(self, path):
        content = dict(self._paths()).get(path)
        return (200, content) if content is not None else _missing(path)

    def reply(self, request, content):
        """The reply to any request: a status and a message, or bytes."""
        parts = urlsplit(request.path)
        path, authorization = unquote(parts.path), request.headers.get("Authorization", "")
        self.requests.append(path)
        known = {
            # Databricks' SDK reads these two.
            "/.well-known/databricks-config": {"oidc_endpoint": f"{self.url}/oidc"},
            "/oidc/.well-known/oauth-authorization-server": {
                "token_endpoint": f"{self.url}/oidc/v1/token",
                "authorization_endpoint": f"{self.url}/oidc/v1/authorize",
            },
        }
        if path in known:
            return 200, known[path]
        if path == "/oidc/v1/token":
            return self.token(parse_qs(content.decode()), authorization)
        if path.startswith("/storage/"):
            signed = parts.query == "X-Signature=s3cret-signature" and not authorization
            stored = signed and request.headers.get("x-store") == "yes"
            return self._file(path.removeprefix("/storage")) if stored else (403, b"")
        return self._with_token(request.command, parts, authorization, content)

    def _with_token(self, method, parts, authorization, content):
        if not authorization:
            return 401, {"error_code": 401, "message": "Credential was not sent"}
        if authorization.removeprefix("Bearer ") not in self.tokens:
            return 403, {"error_code": 403, "message": "Invalid access token."}
        query = {key: value[0] for key, value in parse_qs(parts.query).items()}
        return self.answer(
            method, unquote(parts.path), query, json.loads(content) if content else {}
        )


class _Server(ThreadingHTTPServer):
    workspace = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._reply(b"")

    def do_POST(self):
        self._reply(self.rfile.read(int(self.headers["Content-Length"])))

    def _reply(self, content):
        status, message = self.server.workspace.reply(self, content)
        if isinstance(message, dict):
            message = json.dumps(message).encode()
        written = message if isinstance(message, bytes) else message_to_json(message).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)


def _missing(what):
    return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": what}
