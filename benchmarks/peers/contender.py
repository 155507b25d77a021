"""A measured server: its start, its request and its response check."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.context import BenchContext
from benchmarks.models import Model
from benchmarks.parts.protocols import INFER, Form, forms
from benchmarks.registry import Published
from demo.processes import Child, spawn
from stress.truth import Record, WrongAnswerError

# More threads of linear algebra would compete for the server's single core.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_TOLERANCE = 1e-5  # scikit-learn computes in float64


@dataclass(frozen=True)
class Contender:
    """`start(port)` returns before the server is ready; `check` raises WrongAnswerError.

    `environment` is the folder of the peer's requirements, empty for the project's own servers.
    `package` is the package whose version is shown, if its name differs from the folder's. A
    `reference` computes no prediction.
    """

    name: str
    start: Callable[[int], Child]
    path: str
    body: bytes
    check: Callable[[bytes], object]
    environment: str = ""
    package: str = ""
    reference: bool = False


@dataclass(frozen=True)
class Entry:
    """The model in all its forms, for the construction of contenders."""

    context: BenchContext
    published: Published
    model: Model

    @property
    def record(self) -> Record:
        """The record that every request has."""
        return self.published.truth.records[0]

    @property
    def infer(self) -> Form:
        """The same record as a request of the Open Inference Protocol, in JSON."""
        return forms(self.published.truth)[INFER]

    def spawn(self, command: Sequence[str], port: int, env: Mapping[str, str]) -> Child:
        """Start a server on this port, with one thread for linear algebra."""
        log = self.context.folder / f"{Path(command[0]).name}-{port}.log"
        return spawn(command, f"http://127.0.0.1:{port}", log, {**_ONE_THREAD, **env})

    def check(self, probabilities: Callable[[Any], Sequence[float]]) -> Callable[[bytes], None]:
        """A check of responses; `probabilities` reads them from a response, in the order of the classes."""
        expected = list(self.published.truth.references[0].probabilities[0].values())

        def check(body: bytes) -> None:
            try:
                actual = probabilities(msgspec.json.decode(body))
            except (KeyError, IndexError, TypeError, msgspec.MsgspecError) as error:
                raise WrongAnswerError(f"{error!r} in {body[:200]!r}") from error
            if any(abs(a - b) > _TOLERANCE for a, b in zip(actual, expected, strict=True)):
                raise WrongAnswerError(f"{actual}, expected {expected}")

        return check
