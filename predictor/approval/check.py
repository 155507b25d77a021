"""SignedApprovals: whether enough people have signed a version, and still stand by it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from approvals.approvers import MAX_ENVELOPES
from approvals.standing import Standing
from approvals.statement import APPROVAL_TAG, Subject
from predictor.approval.files import VARIABLE, ApproversFile, Withdrawals
from predictor.errors import CacheError, KeysError
from predictor.events import (
    ApprovalsChanged,
    CacheFailed,
    Event,
    KeysNotRead,
    KeysRead,
    Observe,
    RegistryAnswered,
    RegistryFailed,
    Swapped,
)
from predictor.model.artifact import INPUT_EXAMPLE, Artifact
from predictor.model.servable import Servable
from predictor.model_version import ModelVersion
from predictor.registry.artifacts import Blocking

_RELOAD_SECONDS = 1.0


class VersionTags(Protocol):
    """Reads the tags of versions, and keeps what the next start and other workers need of them."""

    async def newest(self, version: ModelVersion) -> ModelVersion | None:
        """The same version with its present tags; None if it does not exist. Raises RegistryError."""

    async def retag(self, version: ModelVersion) -> None:
        """Store these tags of the last known good version; do nothing for other versions. Raises CacheError."""

    async def keep_withdrawals(self, envelopes: Sequence[str]) -> None:
        """Store these withdrawals for the next start and for other workers. Raises CacheError."""


class SignedApprovals:
    """Compares the approvals in a version's tags with the file of approvers.

    It keeps the approvals of the serving version: deleting a tag does not take an approval back, a withdrawal
    does. It keeps every valid withdrawal: deleting its tag does not bring an approval back.
    """

    def __init__(
        self, file: ApproversFile, withdrawals: Withdrawals, source: VersionTags, observe: Observe
    ) -> None:
        self._file = file
        self._withdrawals = withdrawals
        self._source = source
        self._observe = observe
        self._desired: ModelVersion | None = None
        self._serving: Servable | None = None
        self._kept: tuple[str, ...] = ()  # of the serving version
        # The files of the desired version that were refused last, for people who look at /model.
        self._refused: tuple[ModelVersion, Artifact] | None = None
        self._reported: ApprovalsChanged | None = None
        self._fault: str | None = None
        self._write_fault: str | None = None
        self._saving: set[asyncio.Task[Any]] = set()
        self._verifying = Blocking("verifications of approvals", 1)

    @property
    def required(self) -> int:
        """How many people must approve."""
        return self._file.approvers.required

    async def update(self, aspired: ModelVersion | None) -> None:
        """Take over the tags of the desired and of the serving version. Raises RegistryError."""
        serving = self._serving.model_version if self._serving else None
        newest = aspired
        if serving is not None and serving != aspired:
            newest = await self._source.newest(serving)
        found = [*_envelopes(aspired), *(_envelopes(newest) if newest != aspired else ())]
        if not self._file.approvers.knows(found):
            # In a thread: a new envelope takes 0.1 ms for each signature and key. The results are kept.
            await self._verifying.run(self._file.approvers.verified, found)
        self._desired = aspired
        self._withdrawals.add(found, self._file.approvers)
        if newest is not None and newest == serving and self._keep(newest):
            self._in_background(self._save(self._source.retag(self._with_kept(newest))))
        if not self._withdrawals.complete and not self._saving:
            self._in_background(self._save_withdrawals())

    def refusal(self, version: ModelVersion, artifact: Artifact | None = None) -> str | None:
        """Why a version may not serve; None if it may. Without its artifact, its files are left out."""
        standing = self.standing(version, artifact)
        if artifact is not None and version == self._desired:
            self._refused = None if standing.sufficient else (version, artifact)
        return None if standing.sufficient else standing.refusal

    def serves(self, servable: Servable | None) -> None:
        """Keep the approvals of this version from now on: it serves. None: nothing serves."""
        self._serving, self._kept = servable, ()
        if servable is not None:
            self._keep(self._newest(servable.model_version))

    def standing(self, version: ModelVersion, artifact: Artifact | None) -> Standing:
        """Who has approved a version, now."""
        approvers = self._file.approvers
        kept = self._kept if self._serving and self._serving.model_version == version else ()
        withdrawn = approvers.about(self._withdrawals.known, version.name, version.version)
        return approvers.standing(
            dict.fromkeys((*_envelopes(self._newest(version)), *kept, *withdrawn)),
            Subject(version.name, version.version, _files(artifact) if artifact else {}),
            datetime.now(UTC),
            files=artifact is not None,
        )

    def describe(self) -> ApprovalsChanged:
        """The approvals of the desired and of the serving version, now."""
        desired = serving = None
        if self._serving is not None:
            version = self._serving.model_version
            serving = version, self.standing(version, self._serving.artifact)
        if self._desired is not None:
            refused = self._refused if self._refused and self._refused[0] == self._desired else None
            known = self._desired, self.standing(self._desired, refused[1] if refused else None)
            desired = serving if serving and serving[0] == self._desired else known
        return ApprovalsChanged(desired, serving, self.required)

    def observe(self, event: Event) -> None:
        """Report changed approvals after each poll and each swap."""
        if isinstance(event, RegistryAnswered | RegistryFailed | Swapped):
            found = self.describe()
            if found != self._reported:
                self._reported = found
                self._observe(found)

    @contextlib.asynccontextmanager
    async def reloading(self, changed: Callable[[], None]) -> AsyncIterator[None]:
        """Read the files again every second, within the `with` block. Call `changed` after a change."""

        async def forever() -> None:
            while True:
                await asyncio.sleep(_RELOAD_SECONDS)
                if await self.reload():
                    changed()

        reading = asyncio.create_task(forever())
        try:
            yield
        finally:
            reading.cancel()

    async def reload(self) -> bool:
        """Read the files again; return whether approvers or withdrawals changed."""
        new_rule = await self._reload_approvers()
        return await self._withdrawals.reload(self._file.approvers) or new_rule

    async def _reload_approvers(self) -> bool:
        try:
            changed = await self._file.reload()
        except KeysError as error:
            first, self._fault = self._fault != str(error), str(error)
            self._observe(KeysNotRead(VARIABLE, str(error), first))
            return False
        repaired, self._fault = self._fault is not None, None
        if changed or repaired:
            self._observe(KeysRead(VARIABLE, sum(map(len, self._file.approvers.keys.values()))))
        return changed

    def _newest(self, version: ModelVersion) -> ModelVersion:
        """The same version with its present tags, if the registry names it."""
        return self._desired if self._desired is not None and self._desired == version else version

    def _keep(self, version: ModelVersion) -> bool:
        """Keep the approvals of the serving version in memory; return whether there are new ones."""
        approvers = self._file.approvers
        envelopes = approvers.verified((*self._kept, *_envelopes(version)))
        new = approvers.about(envelopes, version.name, version.version)
        before = self._kept
        # Those before stay: a key may be missing from the file only for a while.
        self._kept = tuple(dict.fromkeys((*before, *new)))[:MAX_ENVELOPES]
        return self._kept != before

    def _with_kept(self, version: ModelVersion) -> ModelVersion:
        """The version with the approvals that are kept, for a start without the registry."""
        tags = {key: text for key, text in version.tags.items() if not _is_approval(key)}
        tags |= {f"{APPROVAL_TAG}{number}": text for number, text in enumerate(self._kept)}
        return replace(version, tags=tags)

    async def _save_withdrawals(self) -> None:
        """Write the withdrawals; after a failure, each poll tries again."""
        known = self._withdrawals.known
        if await self._save(self._source.keep_withdrawals(known)):
            self._withdrawals.stored = known

    async def _save(self, write: Coroutine[Any, Any, None]) -> bool:
        """Await a write to the cache, and report a new failure; return whether it succeeded."""
        try:
            await write
        except CacheError as error:
            serving = self._serving.model_version if self._serving else None
            if self._write_fault != str(error):
                self._observe(CacheFailed(serving, str(error)))
            self._write_fault = str(error)
            return False
        self._write_fault = None
        return True

    def _in_background(self, work: Coroutine[Any, Any, Any]) -> None:
        """A disk that hangs must not stop the polls."""
        task = asyncio.create_task(work)
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)


def _files(artifact: Artifact) -> dict[str, str]:
    """The digests of the files that serving depends on: all but MLflow's optional input example."""
    return {
        path: digest
        for path, digest in artifact.digests.items()
        if path != INPUT_EXAMPLE or path == artifact.onnx_path  # a graph may have any name
    }


def _is_approval(key: str) -> bool:
    return key.startswith(APPROVAL_TAG)


def _envelopes(version: ModelVersion | None) -> Sequence[str]:
    """The values of a version's tags of approvals; one more than are read, if there are too many."""
    tags = version.tags if version else {}
    return [text for key, text in tags.items() if _is_approval(key)][: MAX_ENVELOPES + 1]
