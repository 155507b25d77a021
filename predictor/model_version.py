"""Model versions, and MLflow's URIs that point to them.

A URI is `models:/NAME/STAGE`, `models:/NAME@ALIAS` or `models:/NAME/NUMBER`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model, from the registry's response.

    Two are equal if they are the same version: name, number, source and time of creation (milliseconds
    since the epoch). The number alone is not enough, because a new registry counts from 1 again. Tags,
    description and stage can be edited and are not compared.
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
        """The digest of `model.onnx` from the version's tag, if it has one."""
        return self.tags.get("onnx_sha256")

    @property
    def revision(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Changes with each edit of the version; then a failed load is tried again at once."""
        return self.updated_ms, tuple(sorted(self.tags.items()))

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


@dataclass(frozen=True)
class Listed:
    """A version in a listing. `stage` is MLflow's, empty if the registry has no stages."""

    version: ModelVersion
    stage: str


@dataclass(frozen=True)
class Listing:
    """The versions of the model as the registry has them, the highest number first.

    Of thousands, the newest are listed, and older ones that have a stage or an alias, serve, or should serve.
    `more` is whether there are others. `tags` are those of the registered model.
    """

    versions: Sequence[Listed]
    aliases: Mapping[str, str]
    tags: Mapping[str, str]
    more: bool


STAGES = ("None", "Staging", "Production", "Archived")

_FORM = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<place>[^/@]+)|@(?P<alias>[A-Za-z0-9_-]+))")


@dataclass(frozen=True)
class ModelUri:
    """The registered name, and the pointer to the version that should serve."""

    name: str
    kind: Literal["stage", "alias", "version"]
    pointer: str

    @classmethod
    def parse(cls, text: str) -> "ModelUri":
        """Read MLflow's form. Raises ValueError which names the valid forms."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(_explain(text))
        if match["alias"]:
            return cls(match["name"], "alias", match["alias"])
        place = match["place"]
        if place.isascii() and place.isdigit():
            return cls(match["name"], "version", str(int(place)))
        for stage in STAGES:
            if place.lower() == stage.lower():
                return cls(match["name"], "stage", stage)
        raise ValueError(_explain(text))

    def __str__(self) -> str:
        return f"models:/{self.name}{'@' if self.kind == 'alias' else '/'}{self.pointer}"


def _explain(text: str) -> str:
    return (
        f"{text!r} is not a model URI; use models:/NAME/Production (or another stage: "
        f"{', '.join(STAGES)}), models:/NAME@ALIAS or models:/NAME/7"
    )
