"""A promotion whose version has to prove itself on live traffic: the evidence of a shadow before it, a bake after it."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from trainer import bake, shadow_evidence
from trainer.errors import RegistryError, TransitionError
from trainer.lifecycle import Lifecycle, Outcome
from trainer.pointer import RegistryState
from trainer.promotion import Finding, Policy
from trainer.registry import RegisteredModel
from trainer.service_state import Service
from trainer.shadow_evidence import Evidence, Graph, Requirement
from trainer.terminal import printable

_RETRY_SECONDS = 5.0
_DEFAULT_LIMITS = bake.Limits()


@dataclass(frozen=True)
class Trial:
    """What a promotion asks of live traffic: of a shadow before it (`requirement`), and of the version after it.

    The bake takes `seconds`; None for no bake. Without `records`, the services have the evidence.
    """

    services: tuple[Service, ...] = ()
    requirement: Requirement | None = None
    seconds: float | None = None
    limits: bake.Limits = _DEFAULT_LIMITS
    records: str | None = None

    @classmethod
    def of(
        cls,
        urls: Sequence[str],
        *,
        require_shadow: str | None = None,
        bake_time: str | None = None,
        limits: str = "",
        records: str | None = None,
        key_file: Path | None = None,
    ) -> "Trial | None":
        """Read the options of `promote`; None if they ask for nothing. Raises TrainerError."""
        if limits and bake_time is None:
            raise TransitionError("--bake-limits are those of --bake TIME, which was not given")
        if records is not None and require_shadow is None:
            raise TransitionError(
                "--records are the evidence of --require-shadow, which was not given"
            )
        if require_shadow is None and bake_time is None:
            return None
        return cls(
            tuple(Service(url, _key(key_file)) for url in urls),
            # An empty text, as from a variable that is not set, must not leave the gate open.
            None if require_shadow is None else Requirement.parse(require_shadow),
            None if bake_time is None else bake.parse_seconds(bake_time),
            bake.Limits.parse(limits),
            records,
        )

    def policy(self, policy: Policy, registry: RegisteredModel) -> Policy:
        """The policy with the evidence that is required."""
        if self.requirement is None:
            return policy
        requirement = self.requirement

        def evidence(challenger: str, champion: str | None) -> Iterator[Finding]:
            if champion is None:
                reason = "no version is in Production, so a shadow of it compares nothing"
                return iter([Finding(False, reason)])
            new, old = _graph(registry, challenger), _graph(registry, champion)
            return shadow_evidence.judge(requirement, new, old, self._found(registry, new, old))

        return replace(policy, evidence=evidence)

    def _found(
        self, registry: RegisteredModel, challenger: Graph, champion: Graph
    ) -> list[Evidence | str]:
        if self.records is not None:
            return [
                shadow_evidence.of_records(self.records, registry.model_name, challenger, champion)
            ]
        return [shadow_evidence.of_service(each.url, each.model()) for each in self.services]


def _key(file: Path | None) -> str | None:
    try:
        return file.read_text().strip() if file else None
    except (OSError, ValueError) as error:
        raise TransitionError(f"--service-key-file {file} cannot be read: {error}") from None


def _graph(registry: RegisteredModel, version: str) -> Graph:
    """A version with the digest of its files, which no tag can change."""
    from trainer.version_files import read_files  # imports onnx, which other commands do not need

    files = read_files(registry.client, registry.model_name, version)
    return Graph(version, files.graph_sha256)


class Baking:
    """Watches a promoted version for some time, and rolls back if it passes a limit."""

    def __init__(
        self,
        trial: Trial,
        lifecycle: Lifecycle,
        registry: RegisteredModel,
        state: Callable[[], RegistryState],
    ) -> None:
        """Reads the counts before the promotion. Raises TrainerError if there is nothing to roll back to."""
        self._trial = trial
        self._lifecycle = lifecycle
        self._registry = registry
        self._state = state
        former = state().champion
        if former is None:
            raise TransitionError(
                "--bake rolls back to the version that serves now, and none is in Production"
            )
        self._former = former
        self._aliases = self._shadow_aliases()
        shadow = former if self._aliases else None
        self._seen = bake.begin(trial.services, time.monotonic(), shadow)

    def watch(self, outcome: Outcome) -> None:
        """Watch; exit code 1 after a rollback, and if another version was promoted meanwhile."""
        version, seconds = outcome.version, self._trial.seconds or 0.0
        typer.echo(
            f"bake: watching version {version} for {seconds:g} seconds ({self._trial.limits})"
        )
        with _ended_by_sigterm(), self._former_as_shadow(version):
            try:
                result = bake.watch(
                    self._seen, version, self._trial.limits, seconds,
                    champion=lambda: self._champion(version), clock=time.monotonic, sleep=time.sleep,
                )  # fmt: skip
            except KeyboardInterrupt:
                typer.echo(f"the bake was interrupted; version {version} keeps serving", err=True)
                raise typer.Exit(130) from None
        if result.left:
            raise _left(version)
        compared = (
            f", {result.compared:,} compared with version {self._former}" if self._aliases else ""
        )
        if result.breach is None:
            typer.echo(f"bake: version {version} stays, after {result.rows:,} rows{compared}")
            return
        typer.echo(f"bake: {printable(result.breach)}", err=True)
        state = self._roll_back(version, f"bake: {result.breach}")
        typer.echo(
            f"rolled back: version {state.champion} of {self._registry.model_name} serves again"
        )
        raise typer.Exit(1)

    def _champion(self, version: str) -> str | None:
        """The version that should serve. While the registry does not answer, nobody can have changed it."""
        try:
            return self._state().champion
        except RegistryError as error:
            typer.echo(f"bake: {printable(str(error))}", err=True)
            return version

    def _roll_back(self, version: str, reason: str) -> RegistryState:
        """Roll back, again and again while the registry does not answer; unless somebody promoted another meanwhile."""
        while True:
            try:
                if self._state().champion != version:
                    raise _left(version)
                return self._lifecycle.roll_back(" ".join(reason.split())).state
            except RegistryError as error:
                typer.echo(
                    f"the rollback failed and is tried again: {printable(str(error))}", err=True
                )
                time.sleep(_RETRY_SECONDS)

    def _shadow_aliases(self) -> dict[str, str | None]:
        """The aliases that the services' shadows follow, with the versions that they name now."""
        prefix = f"models:/{self._registry.model_name}@"
        uris = {
            (each.model().get("shadow") or {}).get("uri") or "" for each in self._trial.services
        }
        aliases = {uri.removeprefix(prefix) for uri in uris if uri.startswith(prefix)}
        aliases.discard(self._state().pointer.removeprefix("@"))
        if not aliases:
            typer.echo(
                "bake: no shadow follows an alias of this model, so flips are not watched "
                "(PREDICTOR_SHADOW_URI=models:/NAME@challenger)"
            )
            return {}
        known = self._registry.aliases()
        return {alias: known.get(alias) for alias in sorted(aliases)}

    @contextmanager
    def _former_as_shadow(self, promoted: str) -> Iterator[None]:
        """Let the former champion be the shadow meanwhile. An alias that named the promoted version names none afterwards."""
        try:
            for alias in self._aliases:
                self._set_alias(alias, self._former)
            yield
        finally:
            for alias, version in self._aliases.items():
                self._set_alias(alias, None if version == promoted else version)

    def _set_alias(self, alias: str, version: str | None) -> None:
        """A shadow that does not change harms nobody, and must not end the bake."""
        try:
            self._registry.set_alias(alias, version)
        except RegistryError as error:
            typer.echo(
                f"bake: the alias {alias} was not changed: {printable(str(error))}", err=True
            )


def _left(version: str) -> typer.Exit:
    typer.echo(f"bake: version {version} is not the champion any more; nothing was done", err=True)
    return typer.Exit(1)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a bake as Ctrl-C does, so that the aliases get their versions back."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
