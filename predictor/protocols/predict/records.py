"""The protocols of `/predict` and `/predict/batch`: records in, predictions out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from predictor.inference.protocol import Read, Result, TakesLong, read_each
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row

_CHUNK = 512  # rows to write at a time: msgspec lets nothing else run meanwhile


class OneRecord:
    """A body is one record: an object with each feature by its name."""

    name = "predict"

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows, and as notes the warnings of values outside the training data."""
        if (rows := servable.decoder.records_in_range(bodies)) is not None:
            return Read(rows, notes={})
        rows, errors = servable.decoder.records(bodies)
        return Read(rows, errors=errors, notes=servable.ranges.outside(rows))

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The body of each prediction."""
        return servable.encoder.each(answers, read.notes)


@dataclass(frozen=True)
class Records:
    """A body is `{"instances": [record, …]}`; `warn` says whether predictions have warnings."""

    warn: bool = False
    name: ClassVar[str] = "predict_batch"

    @property
    def quick(self) -> "Records":
        """Reads on the event loop what is neither many rows nor wrong."""
        return _QuickRecords(self.warn)

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows of all records."""
        return read_each(lambda body: (self._rows(servable, body), None), bodies)

    def _rows(self, servable: Servable, body: bytes) -> list[Row]:
        return servable.decoder.instances(body)

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The body of each batch, or the error of its first row that has one, which is named."""
        texts: list[bytes] = []
        for start in range(0, len(answers), _CHUNK):
            stop = start + _CHUNK
            outside = servable.ranges.outside(read.rows[start:stop] if self.warn else ())
            texts += servable.encoder.rows(answers.part(start, stop), outside)
        results: list[Result] = []
        start = 0
        for count in read.counts or ():
            failed = [row for row in answers.errors if start <= row < start + count]
            if failed:
                first = min(failed)
                results.append(answers.errors[first].at(f"instances[{first - start}]"))
            else:
                results.append(servable.encoder.batch(texts[start : start + count]))
            start += count
        return results


class _QuickRecords(Records):
    def _rows(self, servable: Servable, body: bytes) -> list[Row]:
        rows = servable.decoder.quick_instances(body, servable.rows_on_loop)
        if rows is None:
            raise TakesLong
        return rows
