"""The cache: all of a version or nothing, whatever happens to the disk."""

import json
import os
import time

import pytest

from predictor.cache import Cache
from tests.predictor.parts import version, write_artifact

A = version(1)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", "http://a\nmodels:/m/Production")


def kept(cache, number=1):
    """A fetched version in its place."""
    model = f"not read here {number}".encode()
    return cache.keep(write_artifact(cache.scratch(), model))


def test_what_was_verified_is_found(cache):
    """With every file where it was, by the digest of its content."""
    artifact = kept(cache)
    cache.remember(A, artifact)
    assert cache.find(A) == artifact
    assert artifact.folder.name == artifact.digest
    assert sorted(p.name for p in artifact.folder.iterdir()) == [
        "MLmodel", "manifest.json", "model.onnx",
    ]  # fmt: skip
    found, files = cache.last_verified()
    assert (found, files) == (A, artifact)
    assert (found.run_id, found.tags) == (A.run_id, A.tags)


def test_what_was_fetched_but_never_served_is_not_found(cache):
    """Only a verified version is taken from memory."""
    kept(cache)
    assert cache.find(A) is None
    assert cache.last_verified() is None


def test_an_empty_cache_finds_nothing(cache):
    """And makes no folder to look."""
    assert cache.find(A) is None
    assert cache.last_verified() is None
    cache.forget()


def test_forgetting_is_about_the_next_start(cache):
    """Nothing is served from memory alone, but a promotion needs no download."""
    cache.remember(A, kept(cache))
    cache.forget()
    assert cache.last_verified() is None
    assert cache.find(A) is not None


@pytest.mark.parametrize("file", ["model.onnx", "MLmodel"])
@pytest.mark.parametrize("how", ["changed", "truncated", "removed"])
def test_a_damaged_file_is_not_served(cache, file, how):
    """It is fetched again, and put in the damaged one's place."""
    artifact = kept(cache)
    cache.remember(A, artifact)
    path = artifact.folder / file
    path.unlink() if how == "removed" else path.write_bytes(b"x" if how == "changed" else b"")
    assert cache.find(A) is None
    assert cache.last_verified() is None
    again = kept(cache)
    assert again.folder == artifact.folder
    assert cache.find(A) == again


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"onnx_path": "x"', b"\xff\xfe"])
def test_a_damaged_manifest_or_pointer_is_not_served(cache, tmp_path, content):
    """Half a file is no file."""
    artifact = kept(cache)
    cache.remember(A, artifact)
    for path in (tmp_path / "cache").glob("v*/*.json"):
        path.write_bytes(content)
    assert cache.find(A) is None
    assert cache.last_verified() is None
    cache.remember(A, artifact)
    (artifact.folder / "manifest.json").write_bytes(content)
    assert cache.find(A) is None
    assert cache.last_verified() is None


def test_a_manifest_that_names_another_folders_content_is_not_served(cache):
    """The folder's name is the digest of what its manifest lists."""
    artifact = kept(cache)
    cache.remember(A, artifact)
    manifest = artifact.folder / "manifest.json"
    forged = json.loads(manifest.read_text())
    del forged["digests"]["MLmodel"]
    manifest.write_text(json.dumps(forged))
    assert cache.find(A) is None


def test_two_predictors_on_one_folder(cache, tmp_path):
    """Both keep the same version; the second finds the first one's bytes and leaves no rest."""
    other = Cache(tmp_path / "cache", "http://a\nmodels:/m/Production")
    mine, theirs = (write_artifact(c.scratch(), b"same") for c in (cache, other))
    assert cache.keep(mine) == other.keep(theirs)
    assert len(list((tmp_path / "cache" / "artifacts").iterdir())) == 1


def test_scopes_are_kept_apart(cache, tmp_path):
    """Another registry, or another pointer, has its own last version, and shares the bytes."""
    cache.remember(A, kept(cache))
    other = Cache(tmp_path / "cache", "http://b\nmodels:/m/Production")
    assert other.last_verified() is None
    assert other.find(A) is None
    other.forget()
    assert cache.last_verified() is not None


@pytest.mark.parametrize("another", [version(1, created=7), version(2)])
def test_a_reused_number_is_not_served_from_memory(cache, another):
    """Version 1 that was deleted and made again is another model."""
    cache.remember(A, kept(cache))
    assert cache.find(another) is None


def test_the_last_one_counts(cache):
    """Remembering replaces what was verified, and keeps what was fetched."""
    cache.remember(A, kept(cache, 1))
    cache.remember(version(2), kept(cache, 2))
    assert cache.last_verified()[0] == version(2)
    assert cache.find(A) is not None


def test_old_artifacts_are_pruned(cache, tmp_path):
    """Eight beside those that serve somewhere; never one that another predictor's pointer names."""
    other = Cache(tmp_path / "cache", "other")
    theirs = kept(other, 100)
    other.remember(version(100), theirs)
    os.utime(theirs.folder, (1, 1))
    for number in range(12):
        artifact = kept(cache, number)
        os.utime(artifact.folder, (1000 + number, 1000 + number))
        cache.remember(version(number), artifact)
        os.utime(artifact.folder, (1000 + number, 1000 + number))
    left = list((tmp_path / "cache" / "artifacts").iterdir())
    assert len(left) == 10
    assert other.last_verified() is not None
    assert cache.last_verified()[0] == version(11)
    assert cache.find(version(0)) is None
    assert cache.find(version(4)) is not None


def test_what_a_crash_left_is_pruned_after_a_day(cache):
    """A fetch that goes on elsewhere is not disturbed."""
    old, fresh = cache.scratch(), cache.scratch()
    os.utime(old, (time.time() - 90_000, time.time() - 90_000))
    cache.remember(A, kept(cache))
    assert not old.exists()
    assert fresh.exists()


def test_a_cache_that_cannot_be_written_says_so(tmp_path):
    """With OSError, which its user turns into a warning; nothing is found in it."""
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file", "s")
    for act in (cache.scratch, lambda: cache.remember(A, write_artifact(tmp_path / "a"))):
        with pytest.raises(OSError, match="file"):
            act()
    assert cache.find(A) is None
    assert cache.last_verified() is None


def test_a_write_that_fails_leaves_nothing(cache, tmp_path):
    """No half-written file beside the place it was meant for."""
    artifact = kept(cache)
    cache.remember(A, artifact)
    pointer = next((tmp_path / "cache" / "verified").glob("*.json"))
    pointer.unlink()
    (pointer / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="verified"):
        cache.remember(A, artifact)
    assert [p.name for p in pointer.parent.iterdir()] == [pointer.name]
