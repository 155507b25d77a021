"""What training refuses; every message is one line and says what to do next.

TrainerError
├── DataError               the data cannot be trained on
│   └── MalformedDataError  a line of a data file is not in UCI's format
├── UnknownCandidateError
├── UntrustedTypesError     a fitted pipeline holds a type that is not on the allowlist
└── CandidatesFailedError   some candidates could not be registered; the others were
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trainer.errors import TrainerError


class DataError(TrainerError):
    """The data cannot be trained on."""

    def __init__(self, source: Path | str, problem: str) -> None:
        super().__init__(
            f"{source} cannot be trained on: {problem}; give --data a file in the format of UCI's "
            "wdbc.data, or leave --data out for the rows that come with scikit-learn"
        )


class MalformedDataError(DataError):
    """A line of a data file is not in UCI's format; `line` counts from 1."""

    def __init__(self, source: Path | str, line: int, problem: str) -> None:
        super().__init__(source, f"line {line} {problem}")
        self.line = line


class UnknownCandidateError(TrainerError):
    """The catalogue has no candidate of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no candidate {name!r}; choose from {', '.join(known)}")


class UntrustedTypesError(TrainerError):
    """Loading the saved pipeline would run code of types that nobody has vetted."""

    def __init__(self, candidate: str, types: Sequence[str]) -> None:
        super().__init__(
            f"{candidate} was not saved: it holds {', '.join(types)}, which trainer/artifact.py does "
            "not trust; vet each type and add it to TRUSTED_TYPES, or choose another estimator"
        )


class CandidatesFailedError(TrainerError):
    """Some candidates were not registered; their runs are in MLflow, marked failed."""

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        super().__init__(
            f"not registered: {', '.join(failures)}; the other candidates were. "
            "Their runs in MLflow are marked failed and say why, in the tag `failure`"
        )
        self.failures = dict(failures)
