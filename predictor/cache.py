"""Fetched versions on disk, by content digest, and the last one that was verified.

    artifacts/<digest>/         the files of one version, and manifest.json with their digests
    versions/<key>.json         which digest a verified version has, so that it is fetched once
    verified/<key>.json         what to serve when the registry is down at start-up

Every entry is written beside its place, synced and renamed into it, so a reader, a second
predictor on the same folder, or the next start after a crash sees all of it or nothing.
"""

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from predictor.artifact import Artifact, sha256_of
from predictor.model_version import ModelVersion

_KEPT = 8  # artifacts beside those that a pointer in verified/ names
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
    """One folder of fetched versions. `scope` keeps registries and model URIs apart in it."""

    def __init__(self, folder: Path, scope: str) -> None:
        self._folder = folder
        self._scope = scope

    def scratch(self) -> Path:
        """A fresh folder on the cache's disk to fetch into. Raises OSError."""
        (self._folder / "artifacts").mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._folder / "artifacts"))

    def find(self, version: ModelVersion) -> Artifact | None:
        """The verified files of a version, or None where they are not here, or not intact."""
        pointer = _read(self._version_file(version), _Pointer)
        return self._artifact(pointer.digest) if pointer else None

    def last_verified(self) -> tuple[ModelVersion, Artifact] | None:
        """What served last by the registry's word, or None where that is unknown or not intact."""
        pointer = _read(self._verified_file, _Pointer)
        artifact = self._artifact(pointer.digest) if pointer else None
        if pointer is None or artifact is None:
            return None
        version = ModelVersion(
            pointer.name, pointer.version, pointer.source, pointer.created_ms, pointer.run_id,
            tags=pointer.tags,
        )  # fmt: skip
        return version, artifact

    def keep(self, fetched: Artifact) -> Artifact:
        """Move a fetched folder to its place, and return the artifact there. Raises OSError."""
        manifest = _Manifest(fetched.onnx_path, dict(fetched.digests), dict(fetched.metrics))
        _write(fetched.folder / "manifest.json", msgspec.json.encode(manifest))
        for path in fetched.digests:
            _sync(fetched.folder / path)
        place = self._folder / "artifacts" / fetched.digest
        if place.exists() and self._artifact(fetched.digest) is None:
            shutil.rmtree(place)  # damaged since
        try:
            fetched.folder.rename(place)
        except OSError:
            if not place.exists():
                raise
            shutil.rmtree(fetched.folder)  # another predictor was first; the bytes are the same
        _sync(place.parent)
        return Artifact(place, fetched.onnx_path, fetched.digests, fetched.metrics)

    def remember(self, version: ModelVersion, artifact: Artifact) -> None:
        """Record that a version was verified and serves; forget old artifacts. Raises OSError."""
        pointer = _Pointer(
            version.name, version.version, version.source, version.created_ms, version.run_id,
            dict(version.tags), artifact.digest,
        )  # fmt: skip
        encoded = msgspec.json.encode(pointer)
        _write(self._version_file(version), encoded)
        _write(self._verified_file, encoded)
        if artifact.folder.parent == self._folder / "artifacts":
            os.utime(artifact.folder)
        self._prune(artifact.digest)

    def forget(self) -> None:
        """Record that no version is authorised: nothing is served at the next start from memory alone.

        Raises OSError.
        """
        self._verified_file.unlink(missing_ok=True)

    @property
    def _verified_file(self) -> Path:
        return self._folder / "verified" / f"{_key(self._scope)}.json"

    def _version_file(self, version: ModelVersion) -> Path:
        identity = (
            self._scope,
            version.name,
            version.version,
            version.source,
            str(version.created_ms),
        )
        return self._folder / "versions" / f"{_key(*identity)}.json"

    def _artifact(self, digest: str) -> Artifact | None:
        folder = self._folder / "artifacts" / digest
        manifest = _read(folder / "manifest.json", _Manifest)
        if manifest is None:
            return None
        try:
            intact = all(
                sha256_of(folder / path) == sha256 for path, sha256 in manifest.digests.items()
            )
        except OSError:
            return None
        artifact = Artifact(folder, manifest.onnx_path, manifest.digests, manifest.metrics)
        return artifact if intact and artifact.digest == digest else None

    def _prune(self, serving_digest: str) -> None:
        pointers = [_read(path, _Pointer) for path in (self._folder / "verified").glob("*.json")]
        needed = {serving_digest} | {pointer.digest for pointer in pointers if pointer}
        found = sorted((self._folder / "artifacts").iterdir(), key=_modified, reverse=True)
        spare = [
            path for path in found if path.name not in needed and not path.name.startswith(".")
        ]
        yesterday = time.time() - 86_400
        left_over = [
            path for path in found if path.name.startswith(".") and _modified(path) < yesterday
        ]
        for path in spare[_KEPT:] + left_over:
            shutil.rmtree(path, ignore_errors=True)  # another predictor may remove it too


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # removed by another predictor
        return 0


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
