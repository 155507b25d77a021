"""Inference: one request, whatever carried it, and what the servable that computed it answers."""

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
class Addressed:
    """Which model a request is for; without a version, whichever serves."""

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
    """The outputs that were requested, the version that computed them, and warnings if they were, too."""

    version: ModelVersion
    outputs: list[Tensor]
    warnings: Warnings = field(default_factory=dict)


@dataclass(frozen=True)
class Inference:
    """A request: inputs, and names of outputs, of which none means all. For one row, it is a Question."""

    addressed: Addressed
    inputs: Sequence[Tensor]
    outputs: Sequence[str] = ()
    warn: bool = False

    @property
    def has_one_row(self) -> bool:
        """Whether it says so, truly or not."""
        return all(list(tensor.shape[:1]) == [1] for tensor in self.inputs)

    def row(self, servable: Servable) -> Row:
        """The only row. Raises InvalidInference or UnknownModel."""
        (row,) = self._rows(servable)
        return row

    def told(self, servable: Servable, answer: Answer) -> Inferred:
        """What this servable's answer says. Raises InvalidInference."""
        warnings = servable.ranges.outside(self._rows(servable)) if self.warn else {}
        return self._told(servable, [answer], warnings)

    def compute(self, servable: Servable, run: Run) -> Inferred:
        """All rows. Raises InvalidInference, which names the row that has no answer, or UnknownModel."""
        told: list[Answer] = []
        rows = self._rows(servable)
        for start, answers in run(rows):
            for number, answer in enumerate(answers, start):
                if isinstance(answer, RequestError):
                    raise InvalidInference(f"row {number}: {answer}")
                told.append(answer)
        return self._told(servable, told, servable.ranges.outside(rows) if self.warn else {})

    def _told(self, servable: Servable, told: Sequence[Answer], warnings: Warnings) -> Inferred:
        outputs = outputs_of(servable.signature, told, self.outputs)
        return Inferred(servable.model_version, outputs, warnings)

    def _rows(self, servable: Servable) -> list[Row]:
        # Here, because another version may have taken over since the request came.
        self.addressed.check(servable.model_version)
        requested(servable.signature, self.outputs)
        return rows(servable.signature, self.inputs)


async def infer(batcher: Batcher, inference: Inference) -> Inferred:
    """Compute a small request that is read already: one row with the others of its tick.

    Raises InvalidInference, UnknownModel, NothingServing or Overloaded.
    """
    if inference.has_one_row:
        inferred: Inferred = await batcher.ask_about(inference)
        return inferred
    return await batcher.compute(partial(Inference.compute, inference))
