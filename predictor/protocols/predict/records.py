"""The protocols of `/predict` and `/predict/batch`: records in, predictions out."""

from collections.abc import Sequence
from dataclasses import dataclass

from predictor.inference.protocol import Read, Result, read_each, write_each
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row

_CHUNK = 512  # rows to write at a time: msgspec lets nothing else run meanwhile


class OneRecord:
    """A body is one record: an object with each feature by its name."""

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

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows; the notes are the rows of each request, for their warnings."""

        def read_one(body: bytes) -> tuple[Sequence[Row], Sequence[Row]]:
            rows = servable.decoder.instances(body)
            return rows, rows if self.warn else ()

        return read_each(read_one, bodies)

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The body of each batch, or the error of its first row that has one, which is named."""

        def write_one(part: Answers, rows: Sequence[Row]) -> bytes:
            for number, error in sorted(part.errors.items()):
                raise error.at(f"instances[{number}]")
            encoded = []
            for start in range(0, len(part), _CHUNK):
                warnings = servable.ranges.outside(rows[start : start + _CHUNK])
                encoded.append(servable.encoder.rows(part.part(start, start + _CHUNK), warnings))
            return servable.encoder.batch(encoded)

        return write_each(write_one, read, answers)
