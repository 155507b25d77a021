"""A search that several processes share: Optuna's sampler and storage, one study for each candidate.

Optuna numbers the trials of a study, and no two trials have the same number, whatever the number of processes.
This decides two things. A trial runs only if fewer earlier ones are complete or running than the search needs.
And when a study is complete, each process asks for a trial of a second study, its claim: the first claim that
does not fail registers the candidate.
"""

import os
import socket
import time
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback, Study
from optuna.trial import FrozenTrial, TrialState

from trainer.candidates import Candidate, plain
from trainer.errors import TrainerError
from trainer.evaluation import rank
from trainer.search import OpenRun, Trial, Trials
from trainer.tracking import Run

# The trials of a process that has not been seen for twice this long are failed. Databases only.
HEARTBEAT_SECONDS = 60
SQLITE_WAIT_SECONDS = 60
RUN_WAIT_SECONDS = 60
_OPEN_TRIES = 3
_RUN_ID, _METRICS, _BY = "run_id", "metrics", "by"


class SharedSearch:
    """The search of one training; `name` must say all that makes trials comparable."""

    def __init__(self, storage: BaseStorage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._claims: dict[str, tuple[Study, optuna.Trial]] = {}

    def best(self, trials: Trials, open_run: OpenRun) -> tuple[Run, Trial] | str:
        """See `trainer.search.Search`. Raises TrainerError if the storage fails."""
        try:
            return self._best(trials, open_run)
        except StorageInternalError as error:
            detail = " ".join(str(error.__cause__ or error).split())[:200]
            raise TrainerError(
                f"the storage of the search failed ({detail}); the same command goes on from here"
            ) from error

    def _best(self, trials: Trials, open_run: OpenRun) -> tuple[Run, Trial] | str:
        study = self._study(trials.candidate.name)
        wanted = trials.effort.trials
        if len(_complete(study)) < wanted:
            study.optimize(
                lambda trial: _run(study, trial, trials, open_run),
                callbacks=[MaxTrialsCallback(wanted)],
            )
        complete = _complete(study)
        if len(complete) < wanted:
            return f"other processes run its last {wanted - len(complete)} trials, and register it"
        if (holder := self._claim(trials.candidate, wanted)) is not None:
            return f"its {wanted} trials are complete, and {holder} registers it or has done so"
        found = [_trial(trials.candidate, each) for each in complete]
        run = open_run(study.user_attrs[_RUN_ID])
        return run, max(found, key=lambda trial: rank(trial.metrics))

    def finished(self, candidate: Candidate) -> None:
        """See `trainer.search.Search`."""
        study, claim = self._claims.pop(candidate.name)
        study.tell(claim, 1.0)

    def close(self) -> None:
        """See `trainer.search.Search`."""
        for study, claim in self._claims.values():
            study.tell(claim, state=TrialState.FAIL)
        self._claims.clear()

    def _study(self, name: str) -> Study:
        return optuna.create_study(
            study_name=f"{self._name}, {name}",
            storage=self._storage,
            direction="maximize",
            load_if_exists=True,
        )

    def _claim(self, candidate: Candidate, wanted: int) -> str | None:
        """Claim the registration of a candidate; return the process that has done so earlier, if there is one."""
        study = self._study(f"{candidate.name}, registration after {wanted} trials")
        claim = study.ask()
        claim.set_user_attr(_BY, _process())
        earlier = [each for each in _counted(study) if each.number < claim.number]
        if earlier:
            study.tell(claim, state=TrialState.FAIL)
            return str(earlier[0].user_attrs.get(_BY, "another process"))
        self._claims[candidate.name] = study, claim
        return None


def open_storage(url: str) -> BaseStorage:
    """Open the storage of a database URL, or of a journal file. Raises TrainerError."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" not in url:
        try:
            return JournalStorage(JournalFileBackend(url))
        except OSError as error:
            raise TrainerError(
                f"--storage {url} cannot be written ({error.strerror}); name a file, or a database URL"
            ) from error
    options: dict[str, Any] = {}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": SQLITE_WAIT_SECONDS}
    for attempt in range(1, _OPEN_TRIES + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(url, options, heartbeat_interval=HEARTBEAT_SECONDS)
        except Exception as error:
            # Two processes may create the tables of a new database at once.
            if attempt == _OPEN_TRIES:
                detail = " ".join(str(error.__cause__ or error).split())[:200]
                raise TrainerError(
                    f"--storage cannot be opened ({detail}); check the URL"
                ) from error
            time.sleep(attempt / 2)
    raise AssertionError


def _run(study: Study, trial: optuna.Trial, trials: Trials, open_run: OpenRun) -> float:
    """Run one trial, unless enough others do; the result is what the sampler maximises."""
    earlier = [each for each in _counted(study) if each.number < trial.number]
    if len(earlier) >= trials.effort.trials:
        study.stop()
        raise optuna.TrialPruned
    trial.set_user_attr(_BY, _process())
    # The first trial makes the run whose children all trials are.
    if not earlier and _RUN_ID not in study.user_attrs:
        study.set_user_attr(_RUN_ID, open_run(None).run_id)
    parent = open_run(_wait_for_run_id(study))
    done = trials.run(parent, trial.number + 1, _suggest(trials.candidate, trial))
    trial.set_user_attr(_METRICS, done.metrics)
    return rank(done.metrics)[0]


def _process() -> str:
    return f"process {os.getpid()} of {socket.gethostname()}"


def _wait_for_run_id(study: Study) -> str:
    until = time.monotonic() + RUN_WAIT_SECONDS
    while (run_id := study.user_attrs.get(_RUN_ID)) is None:
        if time.monotonic() > until:
            raise TrainerError(
                "the process with the first trial of this search has not made its run in "
                f"{RUN_WAIT_SECONDS} s; start again with another --storage or --seed"
            )
        time.sleep(0.1)
    return str(run_id)


def _suggest(candidate: Candidate, trial: optuna.Trial) -> dict[str, Any]:
    for name, values in candidate.space.items():
        if isinstance(values, list):
            trial.suggest_categorical(name, list(_labels(values)))
        else:
            low, high = values.support()
            trial.suggest_float(name, low, high, log=True)
    return _parameters(candidate, trial.params)


def _parameters(candidate: Candidate, suggested: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the pipeline's parameters; Optuna's storages know lists by labels."""
    return {
        name: _labels(values)[suggested[name]]
        if isinstance(values, list)
        else plain(suggested[name])
        for name, values in candidate.space.items()
    }


def _labels(values: list[Any]) -> dict[str, Any]:
    return {str(value): value for value in values}


def _trial(candidate: Candidate, trial: FrozenTrial) -> Trial:
    return Trial(_parameters(candidate, trial.params), trial.user_attrs[_METRICS])


def _complete(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _counted(study: Study) -> list[FrozenTrial]:
    """Trials that are complete, or may become so."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
