"""Cache: verified versions on disk, by content digest, and the last known good version.

A file is complete or absent, even after a crash: it is written under a temporary name, synced and renamed.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from predictor.errors import LoadError
from predictor.model.artifact import Artifact, Fetched, sha256
from predictor.model_version import ModelVersion
from predictor.registry.artifacts import checked


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically. Raises OSError, and then keeps the old file."""
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_and_sync(file.fileno(), content)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_folder(place: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder with these files, by relative path, to `place` atomically.

    If another process wrote the folder in the meantime, it stays: its name is the digest of its content.
    Raises OSError, and then leaves no files.
    """
    make_folder(place.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=place.parent))
    try:
        for path, content in contents.items():
            _write_new(temporary / path, content)
        for folder in {(temporary / path).parent for path in contents}:
            _sync_folder(folder)
        try:
            temporary.rename(place)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # does nothing after the rename
    _sync_folder(place.parent)


def remove(place: Path) -> None:
    """Remove a file or a folder: rename it atomically, then delete it. Raises OSError.

    Another process may remove it at the same time.
    """
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=place.parent))
    with contextlib.suppress(FileNotFoundError):
        place.rename(temporary / place.name)
    shutil.rmtree(temporary, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, if they do not exist. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):  # another process made it in the meantime
            folder.mkdir(mode=0o700)


def check_own(folder: Path) -> None:
    """Raise OSError if a folder is a link, belongs to another user, or is writable by others.

    A folder that does not exist is accepted.
    """
    try:
        found = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder, or a link to one", str(folder))
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "the folder belongs to another user", str(folder))
    if found.st_mode & 0o022:
        reason = "others may write to the folder; empty it, then `chmod go-w`"
        raise PermissionError(errno.EPERM, reason, str(folder))


def read_file(path: Path) -> bytes:
    """The content of a regular file. Raises OSError, also for a link."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read()


def _write_new(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        _write_and_sync(file.fileno(), content)


def _write_and_sync(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_MAX_ARTIFACTS = 8  # besides the last known good ones
_MAX_VERSIONS = 64
_MANIFEST = "manifest.json"
_ABANDONED_SECONDS = 86_400  # age at which a half-written entry is abandoned
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
    updated_ms: int = 0


class Cache:
    """One folder of verified versions. `scope` separates registries and model URIs in it."""

    def __init__(self, folder: Path, scope: str) -> None:
        self._folder = folder
        self._scope = scope
        # `retag` must not write back what `forget` removes meanwhile.
        self._writing = threading.RLock()

    def find(self, version: ModelVersion) -> Fetched | None:
        """The files of a version; None if they are absent or damaged. Raises OSError."""
        self._check()
        pointer = _read(self._version_file(version), _Pointer)
        return self._fetched(pointer.digest) if pointer else None

    def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        """The last known good version; None if there is none, or its files are damaged.

        Raises OSError if another user could have written the cache, and LoadError if the graph does not
        have the digest in the version's tag.
        """
        self._check()
        pointer = _read(self._verified_file, _Pointer)
        fetched = self._fetched(pointer.digest) if pointer else None
        if pointer is None or fetched is None:
            return None
        version = _version(pointer)
        fetched.artifact.check(version.expected_sha256)
        return version, fetched

    def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        """Store the serving version as the last known good one; remove old ones. Raises OSError.

        If that fails, there is no last known good version: the previous one must not serve again.
        """
        digest = fetched.artifact.digest
        pointer = _Pointer(
            version.name, version.version, version.source, version.created_ms, version.run_id,
            dict(version.tags), digest, version.updated_ms,
        )  # fmt: skip
        with self._writing:
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

    def retag(self, version: ModelVersion) -> None:
        """Store these tags, if this version is the last known good one. Raises OSError."""
        with self._writing:
            self._check()
            pointer = _read(self._verified_file, _Pointer)
            if pointer is not None and _version(pointer) == version:
                pointer = msgspec.structs.replace(
                    pointer, tags=dict(version.tags), updated_ms=version.updated_ms
                )
                write_file(self._verified_file, msgspec.json.encode(pointer))

    @property
    def withdrawals_file(self) -> Path:
        """The file of the withdrawals of approvals: a list of texts in JSON."""
        return self._folder / "withdrawals" / f"{_key(self._scope)}.json"

    def keep_withdrawals(self, envelopes: Sequence[str]) -> None:
        """Store these withdrawals instead of those before. Raises OSError."""
        self._check()
        write_file(self.withdrawals_file, msgspec.json.encode(envelopes))

    def forget(self) -> None:
        """Store that no version may serve at a start without the registry. Raises OSError."""
        with self._writing:
            check_own(self._verified_file.parent)
            self._verified_file.unlink(missing_ok=True)

    def _check(self) -> None:
        """Raise OSError if another user could have written the cache."""
        for folder in self._own:
            check_own(folder)

    @property
    def _own(self) -> tuple[Path, ...]:
        names = ("artifacts", "versions", "verified", "withdrawals")
        return tuple(self._folder / name for name in names)

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
            with contextlib.suppress(FileNotFoundError):  # another predictor pruned it
                os.utime(place)
                return
        elif place.exists():
            remove(place)  # it is damaged
        manifest = _Manifest(artifact.onnx_path, dict(artifact.digests), dict(artifact.metrics))
        write_folder(place, {**fetched.contents, _MANIFEST: msgspec.json.encode(manifest)})

    def _prune(self, serving_digest: str) -> None:
        pointers = [_read(path, _Pointer) for path in (self._folder / "verified").glob("*.json")]
        needed = {serving_digest} | {pointer.digest for pointer in pointers if pointer}
        found = sorted(self._artifacts.iterdir(), key=_modified, reverse=True)
        whole = [path for path in found if not path.name.startswith(".")]
        spare = [path for path in whole if path.name not in needed][_MAX_ARTIFACTS:]
        for path in (*spare, *self._abandoned()):
            remove(path)
        versions = sorted((self._folder / "versions").glob("*.json"), key=_modified, reverse=True)
        for place, path in enumerate(versions):
            pointer = _read(path, _Pointer)
            lost = pointer is None or not (self._artifacts / pointer.digest).exists()
            # One artifact has many versions if the same files are registered repeatedly.
            if lost or place >= _MAX_VERSIONS:
                path.unlink(missing_ok=True)

    def _abandoned(self) -> Iterator[Path]:
        # Compares with the wall clock, as files do. If it jumps a day ahead, unfinished writes are lost.
        before = time.time() - _ABANDONED_SECONDS
        writing = (path for folder in self._own for path in folder.glob(".writing-*"))
        return (path for path in writing if _modified(path) < before)


def _version(pointer: _Pointer) -> ModelVersion:
    return ModelVersion(
        pointer.name, pointer.version, pointer.source, pointer.created_ms, pointer.run_id,
        pointer.updated_ms, pointer.tags,
    )  # fmt: skip


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # another predictor removed it
        return 0


def _read_inside(folder: Path, path: str) -> bytes:
    """A file of an artifact. Raises LoadError or OSError for a path or a link out of its folder."""
    place = folder / checked(path)
    if place.parent.resolve() != folder.resolve() / PurePosixPath(path).parent:
        raise OSError(errno.ELOOP, "its path has a link", str(place))
    return read_file(place)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(read_file(path), type=kind)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
