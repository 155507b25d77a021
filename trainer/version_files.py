"""The files of a version that serving depends on, and the SHA-256 of each.

They are the files that the service fetches: `MLmodel`, the ONNX graph that its onnx flavour names, and the graph's
external data. Each is read as the artifact store has it.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
import yaml
from google.protobuf.message import DecodeError, Message
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient

from trainer.errors import NotApprovedError
from trainer.mlflow_server import mlflow_border

_MLMODEL = "MLmodel"


@dataclass(frozen=True)
class VersionFiles:
    """The digests of a version's files (SHA-256, hex) by relative path, and which of them is the graph."""

    digests: Mapping[str, str]
    graph: str

    @property
    def graph_sha256(self) -> str:
        """The digest of the ONNX graph: the version's tag `onnx_sha256` has the same."""
        return self.digests[self.graph]


@dataclass(frozen=True)
class VersionContents:
    """A version's files by relative path, as bytes, and which of them is the graph."""

    files: Mapping[str, bytes]
    graph: str

    @property
    def graph_bytes(self) -> bytes:
        """The ONNX graph."""
        return self.files[self.graph]

    @property
    def graph_sha256(self) -> str:
        """SHA-256 of the graph (hex)."""
        return hashlib.sha256(self.graph_bytes).hexdigest()

    @property
    def external_data(self) -> dict[str, bytes]:
        """The files of the weights outside the graph, by path relative to the graph's folder."""
        folder = PurePosixPath(self.graph).parent
        return {
            str(PurePosixPath(path).relative_to(folder)): content
            for path, content in self.files.items()
            if path not in {_MLMODEL, self.graph}
        }

    @property
    def signature_columns(self) -> tuple[str, ...]:
        """The names of the columns in MLflow's signature; empty for a tensor, and without a signature."""
        try:
            inputs = json.loads(yaml.safe_load(self.files[_MLMODEL])["signature"]["inputs"])
            return tuple(str(each["name"]) for each in inputs if each["type"] != "tensor")
        except (yaml.YAMLError, KeyError, TypeError, ValueError):
            return ()


def read_files(client: MlflowClient, model_name: str, version: str) -> VersionFiles:
    """Download the files of a version and hash them. Raises NotApprovedError."""
    found = read_contents(client, model_name, version)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in found.files.items()}
    return VersionFiles(digests, found.graph)


def read_contents(client: MlflowClient, model_name: str, version: str) -> VersionContents:
    """Download the files of a version. Raises NotApprovedError."""
    title = f"version {version} of {model_name}"
    with mlflow_border(client, f"say where the files of {title} are"):
        source = client.get_model_version_download_uri(model_name, version)
    with tempfile.TemporaryDirectory() as folder:

        def read(path: str) -> bytes:
            return _download(client, title, f"{source.rstrip('/')}/{path}", folder)

        mlmodel = read(_MLMODEL)
        graph_path = _inside(title, _graph_path(title, mlmodel))
        graph = read(graph_path)
        contents = {_MLMODEL: mlmodel, graph_path: graph}
        for path in _external_files(title, graph):
            external = _inside(title, str(PurePosixPath(graph_path).parent / path))
            contents[external] = read(external)
    return VersionContents(contents, graph_path)


def _download(client: MlflowClient, title: str, uri: str, folder: str) -> bytes:
    server = client.tracking_uri
    try:
        # One file at a time: for a whole folder MLflow adds a file of its own.
        found = download_artifacts(uri, dst_path=folder, tracking_uri=server, registry_uri=server)
        return Path(found).read_bytes()
    except Exception as error:  # each artifact store has its own errors
        detail = " ".join(str(error).split())[:300]
        raise NotApprovedError(
            f"{uri}, a file of {title}, cannot be read ({detail}); check that the file exists, and that "
            "this machine has the driver and the credentials of its store"
        ) from error


def _graph_path(title: str, mlmodel: bytes) -> str:
    try:
        return str(yaml.safe_load(mlmodel)["flavors"]["onnx"]["data"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise NotApprovedError(
            f"{title} has no ONNX graph, so the service cannot serve it; `python -m trainer convert MODEL_URI --register` "
            "makes a version that has one"
        ) from None


def _external_files(title: str, graph: bytes) -> list[str]:
    """The files of the weights outside the graph, relative to its folder, in order."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(graph)
    except DecodeError:
        raise NotApprovedError(
            f"the ONNX graph of {title} is not readable; register it again"
        ) from None
    return sorted(
        {
            entry.value
            for tensor in _tensors(model)
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )


def _tensors(message: Message) -> Iterator[Any]:
    """All tensors of a model, also those of subgraphs and functions."""
    for described, value in message.ListFields():
        if described.message_type is None:
            continue
        for each in value if hasattr(value, "append") else [value]:
            if isinstance(each, onnx.TensorProto):
                yield each
            else:
                yield from _tensors(each)


def _inside(title: str, path: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts:
        raise NotApprovedError(
            f"{title} names the file {path!r}, which is outside its folder; register it again"
        )
    return str(pure)
