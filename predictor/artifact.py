"""Artifact: the files of one version, on disk and checked."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from predictor.errors import LoadError

MLMODEL = "MLmodel"


@dataclass(frozen=True)
class Artifact:
    """A folder with `MLmodel`, the ONNX file and its external data.

    `digests` maps each relative path to the SHA-256 of its bytes; `metrics` are those of the run
    that made the version, for people who ask `/model`.
    """

    folder: Path
    onnx_path: str
    digests: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def model_file(self) -> Path:
        """The ONNX graph."""
        return self.folder / self.onnx_path

    @property
    def mlmodel_file(self) -> Path:
        """MLflow's description."""
        return self.folder / MLMODEL

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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
