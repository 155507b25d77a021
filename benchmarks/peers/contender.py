"""One server that takes part: how it is started, what it is sent, and what checks its answer."""

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
from stress.truth import WrongAnswerError

# Threads of linear algebra would wait for one another on the server's one core.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_TOLERANCE = 1e-5  # scikit-learn computes in float64


@dataclass(frozen=True)
class Contender:
    """`start(port)` begins at once; `check` raises WrongAnswerError.

    `environment` is the folder of a peer's requirements; ours has none. `package` is the package
    whose version is shown, where the folder has another name. A `reference` computes no prediction.
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
    """What every contender is made from: the model in all its forms."""

    context: BenchContext
    published: Published
    model: Model

    @property
    def record(self) -> Mapping[str, float]:
        """What is asked."""
        return self.published.truth.records[0]

    @property
    def infer(self) -> Form:
        """The same record as a request of the Open Inference Protocol, in JSON."""
        return forms(self.published.truth)[INFER]

    def spawn(self, command: Sequence[str], port: int, env: Mapping[str, str]) -> Child:
        """Start a server that will listen on this port."""
        log = self.context.folder / f"{Path(command[0]).name}-{port}.log"
        return spawn(command, f"http://127.0.0.1:{port}", log, {**_ONE_THREAD, **env})

    def check(self, probabilities: Callable[[Any], Sequence[float]]) -> Callable[[bytes], None]:
        """The check for answers in which `probabilities` finds them, in the order of the classes."""
        right = list(self.published.truth.references[0].probabilities[0].values())

        def check(body: bytes) -> None:
            try:
                given = probabilities(msgspec.json.decode(body))
            except (KeyError, IndexError, TypeError, msgspec.MsgspecError) as error:
                raise WrongAnswerError(f"{error!r} in {body[:200]!r}") from error
            if any(abs(a - b) > _TOLERANCE for a, b in zip(given, right, strict=True)):
                raise WrongAnswerError(f"{given}, it should be {right}")

        return check
