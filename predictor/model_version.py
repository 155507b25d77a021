"""Which model: the registered name and number, and what the registry says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model, as the registry told it.

    Equality is identity: a registry that is set up anew counts from 1 again, so the source and the
    time of creation (milliseconds since the epoch) belong to it. What people may
    edit on a version that stays the same one (tags, description, stage) is not compared.
    """

    name: str
    version: str
    source: str
    created_ms: int
    run_id: str = field(default="", compare=False)
    updated_ms: int = field(default=0, compare=False)
    tags: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def number(self) -> int:
        """The version as a number, for gauges and comparisons."""
        return int(self.version)

    @property
    def expected_sha256(self) -> str | None:
        """The digest of `model.onnx` that the trainer wrote on the version, if it did."""
        return self.tags.get("onnx_sha256")

    @property
    def revision(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Changes whenever anything is edited on the version: a reason to try again at once."""
        return self.updated_ms, tuple(sorted(self.tags.items()))

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"
