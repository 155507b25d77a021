"""Inference: one request over REST or gRPC, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from predictor.errors import RequestError
from predictor.inference.batcher import Batcher
from predictor.inference.compute import Run
from predictor.model.answers import Answer
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
    """A request: inputs, and names of outputs (none means all). With one row, it is a RowRequest."""

    target: Target
    inputs: Sequence[Tensor]
    outputs: Sequence[str] = ()
    warn: bool = False

    @property
    def has_one_row(self) -> bool:
        """Whether its shapes say so."""
        return all(list(tensor.shape[:1]) == [1] for tensor in self.inputs)

    def row(self, servable: Servable) -> Row:
        """The only row. Raises InvalidInference or UnknownModel."""
        (row,) = self._rows(servable)
        return row

    def response(self, servable: Servable, answer: Answer) -> Inferred:
        """The result for the row's answer. Raises InvalidInference."""
        warnings = servable.ranges.outside(self._rows(servable)) if self.warn else {}
        return self._inferred(servable, [answer], warnings)

    def compute(self, servable: Servable, run: Run) -> Inferred:
        """All rows. Raises InvalidInference, which names the row that has no answer, or UnknownModel."""
        found: list[Answer] = []
        rows = self._rows(servable)
        for start, answers in run(rows):
            for number, answer in enumerate(answers, start):
                if isinstance(answer, RequestError):
                    raise InvalidInference(f"row {number}: {answer}")
                found.append(answer)
        return self._inferred(servable, found, servable.ranges.outside(rows) if self.warn else {})

    def _inferred(
        self, servable: Servable, answers: Sequence[Answer], warnings: Warnings
    ) -> Inferred:
        outputs = outputs_of(servable.signature, answers, self.outputs)
        return Inferred(servable.model_version, outputs, warnings)

    def _rows(self, servable: Servable) -> list[Row]:
        # Here, because another version may have taken over since the request arrived.
        self.target.check(servable.model_version)
        requested(servable.signature, self.outputs)
        return rows(servable.signature, self.inputs)


async def infer(batcher: Batcher, inference: Inference) -> Inferred:
    """Compute a small request that was read on the event loop: one row joins the tick's batch.

    Raises InvalidInference, UnknownModel, NothingServing or Overloaded.
    """
    if inference.has_one_row:
        inferred: Inferred = await batcher.predict_row(inference)
        return inferred
    return await batcher.compute(partial(Inference.compute, inference))
