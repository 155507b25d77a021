"""Artifact: the files of one version, as bytes whose digests were checked.

ONNX Runtime gets the same bytes that were hashed, because a file on disk could change between the check
and a second read. The bytes are dropped as soon as the session is built.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from predictor.errors import LoadError

MLMODEL = "MLmodel"
INPUT_EXAMPLE = "input_example.json"
"""Rows that MLflow stores when a model is logged with an input example; optional."""


@dataclass(frozen=True)
class Artifact:
    """The description of a version's files, without their bytes.

    `digests` maps each relative path (`MLmodel`, the ONNX graph, its external data) to the SHA-256
    of its bytes, in hex. `metrics` are the metrics of the version's run, which `/model` shows.
    """

    onnx_path: str
    digests: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def onnx_sha256(self) -> str:
        """SHA-256 of the ONNX graph, in hex: the digest that the trainer tags."""
        return self.digests[self.onnx_path]

    @property
    def digest(self) -> str:
        """SHA-256 over the names and digests of all files, in hex: the name in the cache."""
        lines = "".join(f"{path}\0{digest}\n" for path, digest in sorted(self.digests.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def check(self, expected_sha256: str | None) -> None:
        """Raise LoadError (stage `digest`) if the graph's SHA-256 differs from that in the registry's tag."""
        if expected_sha256 is not None and expected_sha256 != self.onnx_sha256:
            raise LoadError(
                "digest",
                f"{self.onnx_path} has SHA-256 {self.onnx_sha256}, the version's tag onnx_sha256 "
                f"says {expected_sha256}: the file or the tag was changed; register it again",
            )


@dataclass(frozen=True)
class Fetched:
    """An artifact with the bytes of its files, by relative path."""

    artifact: Artifact
    contents: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(
        cls, onnx_path: str, contents: Mapping[str, bytes], metrics: Mapping[str, float]
    ) -> "Fetched":
        """Hash the contents, and return them with their artifact."""
        digests = {path: sha256(content) for path, content in contents.items()}
        return cls(Artifact(onnx_path, digests, metrics), contents)

    @property
    def graph(self) -> bytes:
        """The serialised ONNX graph."""
        return self.contents[self.artifact.onnx_path]

    @property
    def mlmodel(self) -> bytes:
        """MLflow's description, in YAML."""
        return self.contents[MLMODEL]

    @property
    def input_example(self) -> bytes | None:
        """MLflow's input example, in JSON, where it was fetched."""
        return self.contents.get(INPUT_EXAMPLE)

    @property
    def external_data(self) -> dict[str, bytes]:
        """The weights outside the graph, by their path relative to the graph's folder."""
        folder = self.artifact.onnx_path.rpartition("/")[0]
        own = {MLMODEL, INPUT_EXAMPLE, self.artifact.onnx_path}
        return {
            path.removeprefix(f"{folder}/") if folder else path: content
            for path, content in self.contents.items()
            if path not in own
        }


def sha256(content: bytes) -> str:
    """SHA-256 of some bytes, in hex."""
    return hashlib.sha256(content).hexdigest()
