"""Artifact: the files of one version, as bytes that were checked.

The bytes that were hashed are the bytes that ONNX Runtime is given: between a check on disk and a
second read, a file could change. They are dropped as soon as the session is built.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from predictor.errors import LoadError

MLMODEL = "MLmodel"
INPUT_EXAMPLE = "input_example.json"
"""Rows that MLflow keeps for whoever logged a model with an input example. It need not be there."""


@dataclass(frozen=True)
class Artifact:
    """What a version consists of, without the bytes.

    `digests` maps each relative path (`MLmodel`, the ONNX graph, its external data) to the SHA-256
    of its bytes, in hex; `metrics` are those of the run that made the version, for people who ask
    `/model`.
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
        """Raise LoadError where the graph is not the one that the registry's tag names."""
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
        """Hash the contents, and put them together with what they are."""
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
        """The other files, by their path relative to the graph's folder: weights kept outside it."""
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
