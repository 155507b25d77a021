"""Verified versions on disk, by content digest, and the last one that served.

    artifacts/<digest>/         the files of one version, and manifest.json with their digests
    versions/<key>.json         which digest a verified version has, so that it is fetched once
    verified/<key>.json         what to serve when the registry is down at start-up

The three folders are this user's own: a link in place of one, or one that others may write to, is
neither read nor written. Only what was verified gets here, and whole or not at all, so a second predictor on the same folder,
or the next start after a crash, sees nothing that is half-written.
"""

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from predictor.errors import LoadError
from predictor.loading.artifact import Artifact, Fetched, sha256
from predictor.loading.artifact_files import checked
from predictor.loading.durable import check_own, read_file, remove, write_file, write_folder
from predictor.model_version import ModelVersion

_KEPT = 8  # artifacts beside those that a pointer in verified/ names
_KEPT_VERSIONS = 64
_MANIFEST = "manifest.json"
_ABANDONED_SECONDS = 86_400  # age at which a half-written entry is nobody's work any more
_DIGEST = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")


class _Manifest(msgspec.Struct, frozen=True):
    onnx_path: str
    digests: dict[str, str]
    metrics: dict[str, float]


class _Pointer(msgspec.Struct, frozen=True):
    """A verified version and the digest of its artifact."""

    name: str
    version: str
    source: str
    created_ms: int
    run_id: str
    tags: dict[str, str]
    digest: str


class Cache:
    """One folder of verified versions. `scope` keeps registries and model URIs apart in it."""

    def __init__(self, folder: Path, scope: str) -> None:
        self._folder = folder
        self._scope = scope

    def find(self, version: ModelVersion) -> Fetched | None:
        """The files of a version, or None where they are not here, or not intact. Raises OSError."""
        self._check()
        pointer = _read(self._version_file(version), _Pointer)
        return self._fetched(pointer.digest) if pointer else None

    def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """What served last by the registry's word, or None where that is unknown or not intact.

        Raises OSError where the cache is not this user's own, and LoadError where the files are not
        those that the version's tag names.
        """
        self._check()
        pointer = _read(self._verified_file, _Pointer)
        fetched = self._fetched(pointer.digest) if pointer else None
        if pointer is None or fetched is None:
            return None
        version = ModelVersion(
            pointer.name, pointer.version, pointer.source, pointer.created_ms, pointer.run_id,
            tags=pointer.tags,
        )  # fmt: skip
        fetched.artifact.check(version.expected_sha256)
        return version, fetched

    def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Keep a version that was verified and serves; remove old ones. Raises OSError.

        Where that fails, what served before is not left as the last one that served.
        """
        digest = fetched.artifact.digest
        pointer = _Pointer(
            version.name, version.version, version.source, version.created_ms, version.run_id,
            dict(version.tags), digest,
        )  # fmt: skip
        try:
            self._check()
            self._keep(fetched)
            write_file(self._version_file(version), msgspec.json.encode(pointer))
            write_file(self._verified_file, msgspec.json.encode(pointer))
        except OSError:
            with contextlib.suppress(OSError):
                self.forget()
            raise
        self._prune(digest)

    def forget(self) -> None:
        """Serve nothing at the next start, unless the registry says what. Raises OSError."""
        check_own(self._verified_file.parent)
        self._verified_file.unlink(missing_ok=True)

    def _check(self) -> None:
        """Raise OSError where somebody else could have written what is here."""
        for folder in self._own:
            check_own(folder)

    @property
    def _own(self) -> tuple[Path, ...]:
        return (self._artifacts, self._folder / "versions", self._folder / "verified")

    @property
    def _artifacts(self) -> Path:
        return self._folder / "artifacts"

    @property
    def _verified_file(self) -> Path:
        return self._folder / "verified" / f"{_key(self._scope)}.json"

    def _version_file(self, version: ModelVersion) -> Path:
        identity = (version.name, version.version, version.source, str(version.created_ms))
        return self._folder / "versions" / f"{_key(self._scope, *identity)}.json"

    def _fetched(self, digest: str) -> Fetched | None:
        folder = self._artifacts / digest
        if not _DIGEST.fullmatch(digest) or folder.is_symlink():
            return None
        manifest = _read(folder / _MANIFEST, _Manifest)
        if manifest is None:
            return None
        try:
            contents = {path: _read_inside(folder, path) for path in manifest.digests}
        except (OSError, LoadError):
            return None
        intact = all(sha256(contents[path]) == known for path, known in manifest.digests.items())
        artifact = Artifact(manifest.onnx_path, manifest.digests, manifest.metrics)
        return Fetched(artifact, contents) if intact and artifact.digest == digest else None

    def _keep(self, fetched: Fetched) -> None:
        artifact = fetched.artifact
        place = self._artifacts / artifact.digest
        if self._fetched(artifact.digest) is not None:
            with contextlib.suppress(FileNotFoundError):  # pruned by another predictor
                os.utime(place)
                return
        elif place.exists():
            remove(place)  # damaged since
        manifest = _Manifest(artifact.onnx_path, dict(artifact.digests), dict(artifact.metrics))
        write_folder(place, {**fetched.contents, _MANIFEST: msgspec.json.encode(manifest)})

    def _prune(self, serving_digest: str) -> None:
        pointers = [_read(path, _Pointer) for path in (self._folder / "verified").glob("*.json")]
        needed = {serving_digest} | {pointer.digest for pointer in pointers if pointer}
        found = sorted(self._artifacts.iterdir(), key=_modified, reverse=True)
        whole = [path for path in found if not path.name.startswith(".")]
        spare = [path for path in whole if path.name not in needed][_KEPT:]
        for path in (*spare, *self._abandoned()):
            remove(path)
        versions = sorted((self._folder / "versions").glob("*.json"), key=_modified, reverse=True)
        for place, path in enumerate(versions):
            pointer = _read(path, _Pointer)
            lost = pointer is None or not (self._artifacts / pointer.digest).exists()
            # The same files registered again and again are one artifact with many versions.
            if lost or place >= _KEPT_VERSIONS:
                path.unlink(missing_ok=True)

    def _abandoned(self) -> Iterator[Path]:
        # Files have the wall clock's time. A day forward costs another process what it is writing.
        before = time.time() - _ABANDONED_SECONDS
        writing = (path for folder in self._own for path in folder.glob(".writing-*"))
        return (path for path in writing if _modified(path) < before)


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # removed by another predictor
        return 0


def _read_inside(folder: Path, path: str) -> bytes:
    """A file of an artifact. Raises LoadError or OSError for one outside its folder, also by a link."""
    place = folder / checked(path)
    if place.parent.resolve() != folder.resolve() / PurePosixPath(path).parent:
        raise OSError(errno.ELOOP, "reached by a link", str(place))
    return read_file(place)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(read_file(path), type=kind)
    except (OSError, msgspec.DecodeError):
        return None
