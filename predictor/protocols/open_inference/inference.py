"""Inference: one request over REST or gRPC, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.model.training_ranges import Warnings
from predictor.model_version import ModelVersion
from predictor.protocols.open_inference.errors import InvalidInference, UnknownModel, quoted
from predictor.protocols.open_inference.outputs import outputs_of, requested
from predictor.protocols.open_inference.tensors import Tensor, rows


@dataclass(frozen=True)
class Target:
    """The model that a request is for; without a version, the serving one."""

    name: str
    version: str | None = None

    def check(self, serving: ModelVersion) -> None:
        """Raise UnknownModel unless this is what serves."""
        self.check_name(serving.name)
        if self.version is not None and self.version != serving.version:
            raise UnknownModel(
                f"version {quoted(self.version)} of {quoted(self.name)} does not serve; "
                f"version {serving.version} does"
            )

    def check_name(self, name: str) -> None:
        """Raise UnknownModel unless this is the model's name."""
        if self.name != name:
            raise UnknownModel(f"model {quoted(self.name)} is not served here; {quoted(name)} is")


@dataclass(frozen=True)
class Inferred:
    """The requested outputs, the version that computed them, and warnings if requested."""

    version: ModelVersion
    outputs: list[Tensor]
    warnings: Warnings = field(default_factory=dict)


@dataclass(frozen=True)
class Inference:
    """A request: inputs, and names of outputs (none means all)."""

    target: Target
    inputs: Sequence[Tensor]
    outputs: Sequence[str] = ()
    warn: bool = False

    def rows(self, servable: Servable) -> list[Row]:
        """The rows for this servable. Raises InvalidInference or UnknownModel."""
        self.target.check(servable.model_version)
        requested(servable.signature, self.outputs)
        return rows(servable.signature, self.inputs)

    def inferred(self, servable: Servable, rows: Sequence[Row], answers: Answers) -> Inferred:
        """The result of these rows. Raises InvalidInference, which names the row that has no answer."""
        for number, error in sorted(answers.errors.items()):
            raise error if len(answers) == 1 else InvalidInference(f"row {number}: {error}")
        outputs = outputs_of(servable.signature, answers, self.outputs)
        warnings = servable.ranges.outside(rows) if self.warn else {}
        return Inferred(servable.model_version, outputs, warnings)
