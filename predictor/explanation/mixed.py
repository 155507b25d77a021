"""Mixed: what a servable answers to mixtures of a record with its background, within a bound on time."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

from predictor.errors import FieldError, InferenceTimeout, InvalidRecord
from predictor.explanation.explanation_errors import NotInTime
from predictor.explanation.mixtures import Feed, Mask, Mixtures
from predictor.explanation.output import Output
from predictor.explanation.sampling import Floats, Integers
from predictor.loading.onnx_errors import one_line
from predictor.servable import Servable

Clock = Callable[[], float]


class Mixed:
    """Computes mixtures of one record with the background of its servable."""

    def __init__(
        self, servable: Servable, output: Output, record: Feed, background: Feed,
        *, seconds: float, clock: Clock = perf_counter,
    ) -> None:  # fmt: skip
        """From now on, `seconds` may pass."""
        self._servable = servable
        self._output = output
        self._mixtures = Mixtures(record, background)
        self._seconds = seconds
        self._clock = clock
        self._started = clock()

    def __call__(self, taken: Mask, sources: Integers) -> Floats:
        """The answers [N], as `sampling.Compute`.

        Raises NotInTime; or InvalidRecord where the model has no finite answer for one of them: an
        explanation would have none either.
        """
        if self._clock() - self._started > self._seconds:
            raise NotInTime(self._seconds)
        feed = self._mixtures.feed(taken, sources)
        single = self._servable.signature.one_row_at_a_time
        parts = [feed]
        if single:
            rows = range(len(sources))
            parts = [{port: each[row : row + 1] for port, each in feed.items()} for row in rows]
        try:
            given = [self._servable.compute(self._output.names, part) for part in parts]
        except InferenceTimeout:
            raise
        except Exception as error:  # ONNX Runtime raises a dozen types, all its own
            raise _refused(f"fails: {one_line(error)}") from error
        answers = np.concatenate([self._output.read(outputs) for outputs in given])
        if not np.isfinite(answers).all():
            raise _refused("has no finite answer")
        return answers


def _refused(what: str) -> InvalidRecord:
    mixed = "with some of its features as in rows of the background, which explaining takes"
    return InvalidRecord([FieldError("", f"the model {what}, for this record {mixed}")])
