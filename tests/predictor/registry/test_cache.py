"""The cache: all of a version or nothing, whatever happens to the disk."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from predictor.errors import LoadError
from predictor.model.artifact import Artifact, sha256
from predictor.registry.cache import Cache
from tests.predictor.parts import version, write_artifact

A = version(1)


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", "http://a\nmodels:/m/Production")


@pytest.fixture
def files(tmp_path):
    """Makes the files of a version."""

    def make(number=1):
        return write_artifact(tmp_path / "made", f"not read here {number}".encode())

    return make


@pytest.fixture
def place(tmp_path):
    """Where an artifact's files are."""

    def of(fetched):
        return tmp_path / "cache" / "artifacts" / fetched.artifact.digest

    return of


def test_a_verified_version_is_found(cache, files, place):
    """With every file where it was, by the digest of its content."""
    fetched = files()
    cache.remember(A, fetched)
    assert cache.find(A) == fetched
    names = sorted(path.name for path in place(fetched).iterdir())
    assert names == ["MLmodel", "manifest.json", "model.onnx"]
    found, contents = cache.last_verified()
    assert (found, contents) == (A, fetched)
    assert (found.run_id, found.tags) == (A.run_id, A.tags)


def test_an_empty_cache_finds_nothing(cache):
    """And makes no folder to look."""
    assert cache.find(A) is None
    assert cache.last_verified() is None
    cache.forget()


def test_forgetting_is_about_the_next_start(cache, files):
    """Nothing is served from memory alone, but a promotion needs no download."""
    cache.remember(A, files())
    cache.forget()
    assert cache.last_verified() is None
    assert cache.find(A) is not None


@pytest.mark.parametrize("file", ["model.onnx", "MLmodel"])
@pytest.mark.parametrize("how", ["changed", "truncated", "removed"])
def test_a_damaged_file_is_not_served(cache, file, how, files, place):
    """It is fetched again, and put in the damaged one's place."""
    fetched = files()
    cache.remember(A, fetched)
    path = place(fetched) / file
    path.unlink() if how == "removed" else path.write_bytes(b"x" if how == "changed" else b"")
    assert cache.find(A) is None
    assert cache.last_verified() is None
    cache.remember(A, fetched)
    assert cache.find(A) == fetched


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"onnx_path": "x"',
        b"\xff\xfe",
        b'{"onnx_path": "\xff", "name": "\xff"}',
    ],
)
def test_a_damaged_manifest_or_pointer_is_not_served(cache, tmp_path, content, files, place):
    """Half a file is no file."""
    fetched = files()
    cache.remember(A, fetched)
    for path in (tmp_path / "cache").glob("v*/*.json"):
        path.write_bytes(content)
    assert cache.find(A) is None
    assert cache.last_verified() is None
    cache.remember(A, fetched)
    (place(fetched) / "manifest.json").write_bytes(content)
    assert cache.find(A) is None
    assert cache.last_verified() is None


def test_a_manifest_that_names_another_folders_content_is_not_served(cache, files, place):
    """The folder's name is the digest of what its manifest lists."""
    fetched = files()
    cache.remember(A, fetched)
    manifest = place(fetched) / "manifest.json"
    forged = json.loads(manifest.read_text())
    del forged["digests"]["MLmodel"]
    manifest.write_text(json.dumps(forged))
    assert cache.find(A) is None


def test_two_predictors_on_one_folder(cache, tmp_path, files):
    """Both keep the same version; the second finds the first one's bytes and leaves no rest."""
    other = Cache(tmp_path / "cache", "http://a\nmodels:/m/Production")
    threads = [threading.Thread(target=c.remember, args=(A, files())) for c in (cache, other) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.find(A) == other.find(A) == files()
    assert len(list((tmp_path / "cache" / "artifacts").iterdir())) == 1


def test_scopes_are_kept_apart(cache, tmp_path, files):
    """Another registry, or another pointer, has its own last version, and shares the bytes."""
    cache.remember(A, files())
    other = Cache(tmp_path / "cache", "http://b\nmodels:/m/Production")
    assert other.last_verified() is None
    assert other.find(A) is None
    other.forget()
    assert cache.last_verified() is not None


@pytest.mark.parametrize("another", [version(1, created=7), version(2)])
def test_a_reused_number_is_not_served_from_memory(cache, another, files):
    """A version 1 that was deleted and created again is another model."""
    cache.remember(A, files())
    assert cache.find(another) is None


def test_the_last_one_counts(cache, files):
    """Remembering replaces what was verified, and keeps what was fetched."""
    cache.remember(A, files(1))
    cache.remember(version(2), files(2))
    assert cache.last_verified()[0] == version(2)
    assert cache.find(A) is not None


def test_the_last_one_gets_new_tags(cache, files):
    """Only it, and not once none may serve."""
    cache.remember(A, files())
    cache.retag(version(1, approved="yes"))
    cache.retag(version(2, approved="no"))
    assert cache.last_verified()[0].tags == {"approved": "yes"}
    cache.forget()
    cache.retag(version(1, approved="yes"))
    assert cache.last_verified() is None


def test_withdrawals_are_kept_apart(cache, tmp_path):
    """By registry and model, for their owner alone."""
    other = Cache(tmp_path / "cache", "http://b\nmodels:/m/Production")
    cache.keep_withdrawals(["one", "two"])
    assert json.loads(cache.withdrawals_file.read_bytes()) == ["one", "two"]
    assert not other.withdrawals_file.exists()
    assert cache.withdrawals_file.parent.stat().st_mode & 0o077 == 0


def test_old_artifacts_are_pruned(cache, tmp_path, files, place):
    """Eight beside the serving ones; never one that another predictor's pointer names."""
    other = Cache(tmp_path / "cache", "other")
    theirs = files(100)
    other.remember(version(100), theirs)
    os.utime(place(theirs), (1, 1))
    for number in range(12):
        fetched = files(number)
        cache.remember(version(number), fetched)
        os.utime(place(fetched), (1000 + number, 1000 + number))
    left = list((tmp_path / "cache" / "artifacts").iterdir())
    assert len(left) == 10
    assert len(list((tmp_path / "cache" / "versions").iterdir())) == 10
    assert other.last_verified() is not None
    assert cache.last_verified()[0] == version(11)
    assert cache.find(version(0)) is None
    assert cache.find(version(4)) is not None


def test_unfinished_writes_are_pruned_after_a_day(cache, files, tmp_path):
    """A write that goes on elsewhere is not disturbed."""
    cache.remember(A, files())
    old = tmp_path / "cache" / "artifacts" / ".writing-old"
    fresh = tmp_path / "cache" / "artifacts" / ".writing-fresh"
    file = tmp_path / "cache" / "verified" / ".writing-file"
    old.mkdir()
    fresh.mkdir()
    file.write_bytes(b"half")
    for path in (old, file):
        os.utime(path, (time.time() - 90_000, time.time() - 90_000))
    cache.remember(A, files())
    assert fresh.exists()
    assert not old.exists()
    assert not file.exists()


def test_a_cache_that_cannot_be_written_says_so(tmp_path, files):
    """With OSError, which its user turns into an error of ours; nothing is found in it."""
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file", "s")
    with pytest.raises(OSError, match="file"):
        cache.remember(A, files())
    assert cache.find(A) is None
    assert cache.last_verified() is None


def test_a_version_that_could_not_be_kept_is_not_replaced_by_the_one_before(cache, files, tmp_path):
    """The next start without the registry serves nothing rather than what was replaced."""
    cache.remember(A, files())
    (tmp_path / "cache" / "artifacts").rename(tmp_path / "cache" / "gone")
    (tmp_path / "cache" / "artifacts").write_text("in the way")
    with pytest.raises(OSError, match="artifacts"):
        cache.remember(version(2), files(2))
    (tmp_path / "cache" / "artifacts").unlink()
    (tmp_path / "cache" / "gone").rename(tmp_path / "cache" / "artifacts")
    assert cache.find(A) is not None
    assert cache.last_verified() is None


def test_a_write_that_fails_leaves_nothing(cache, files, tmp_path):
    """No half-written file beside the place it was meant for."""
    cache.remember(A, files())
    pointer = next((tmp_path / "cache" / "versions").glob("*.json"))
    pointer.unlink()
    (pointer / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match="versions"):
        cache.remember(A, files())
    assert [p.name for p in pointer.parent.iterdir()] == [pointer.name]


def test_the_same_files_registered_again_and_again_leave_a_bounded_number_of_pointers(
    cache, files, tmp_path
):
    """One artifact, many versions: the newest 64 are known, the one that serves among them."""
    for number in range(1, 70):
        cache.remember(version(number), files())
    assert len(list((tmp_path / "cache" / "versions").iterdir())) == 64
    assert cache.find(version(69)) is not None
    assert cache.last_verified()[0] == version(69)


WORKER = """
import sys
from pathlib import Path
from random import Random
from predictor.registry.cache import Cache
from tests.predictor.parts import version, write_artifact

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
cache, chance = Cache(folder / "cache", "http://a\\nmodels:/m/Production"), Random(seed)
versions = [version(number) for number in range(24)]
files = [write_artifact(folder / str(seed), f"model {number}".encode()) for number in range(24)]
for _ in range(50):
    number = chance.randrange(24)
    cache.remember(versions[number], files[number])
    found = cache.find(versions[number])
    assert found in (None, files[number]), number
    last = cache.last_verified()
    assert last is None or last[1] == files[last[0].number], last
    if chance.random() < 0.1:
        cache.forget()
cache.remember(versions[0], files[0])
"""


@pytest.mark.whole
def test_several_processes_on_one_folder(cache, files, tmp_path):
    """Remember, forget and prune at the same time: whole or not there, no fault, nothing left over."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, tmp_path, str(seed)], cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE, text=True,
        )
        for seed in range(4)
    ]  # fmt: skip
    ended = [(worker.communicate()[1], worker.returncode) for worker in workers]
    assert ended == [("", 0)] * 4
    assert cache.last_verified()[0] == version(0)
    assert cache.find(version(0)) is not None
    left = [path.name for path in (tmp_path / "cache").rglob(".writing-*")]
    assert not left


FOLDERS = ("artifacts", "versions", "verified")


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("spoil", ["a link", "written by a group", "written by all", "a file"])
def test_a_folder_that_is_not_our_own_is_left_alone(cache, files, tmp_path, folder, spoil):
    """Nothing there is served, written or removed, nor where a link leads; the reason names it."""
    for number in range(12):
        cache.remember(version(number + 1), files(number))
    own, elsewhere = tmp_path / "cache" / folder, tmp_path / "elsewhere"
    own.rename(elsewhere)
    if spoil == "a link":
        own.symlink_to(elsewhere)
    elif spoil == "a file":
        own.touch()
    else:
        elsewhere.rename(own)
        own.chmod(0o770 if spoil == "written by a group" else 0o777)
        elsewhere = own
    before = sorted(path.name for path in elsewhere.rglob("*"))
    for use in (lambda: cache.find(A), cache.last_verified, lambda: cache.remember(A, files(99))):
        with pytest.raises(OSError, match=folder):
            use()
    assert sorted(path.name for path in elsewhere.rglob("*")) == before


def test_only_the_caches_own_folders_are_pruned(cache, files, tmp_path):
    """A link beside them is not followed, nor one among the artifacts."""
    cache.remember(A, files())
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".writing-old").mkdir(parents=True)
    (elsewhere / "kept").touch()
    os.utime(elsewhere / ".writing-old", (1, 1))
    (tmp_path / "cache" / "link").symlink_to(elsewhere)
    for number in range(20):
        link = tmp_path / "cache" / "artifacts" / f"{number:064x}"
        link.symlink_to(elsewhere)
        os.utime(link, (1, 1), follow_symlinks=False)
    cache.remember(version(2), files(2))
    assert sorted(path.name for path in elsewhere.iterdir()) == [".writing-old", "kept"]


@pytest.mark.parametrize("how", ["up", "absolute", "link", "folder link", "artifact link", "pipe"])
def test_nothing_outside_is_read(cache, files, place, tmp_path, how):
    """Whatever a manifest names, and wherever a link leads, even if the digests are right."""
    fetched = files()
    cache.remember(A, fetched)
    folder = place(fetched)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.onnx").write_bytes(fetched.graph)
    named = {"up": "../../../outside/model.onnx", "absolute": str(outside / "model.onnx")}
    if how == "artifact link":
        folder.rename(outside / "whole")
        folder.symlink_to(outside / "whole")
    elif how == "folder link":
        (folder / "data").symlink_to(outside)
        named[how] = "data/model.onnx"
    else:
        (folder / "model.onnx").unlink()
    if how == "link":
        (folder / "model.onnx").symlink_to(outside / "model.onnx")
    if how == "pipe":
        os.mkfifo(folder / "model.onnx")
    if how in named:
        digests = {**fetched.artifact.digests, named[how]: sha256(fetched.graph)}
        forged = Artifact(named[how], digests, {})
        told = {"onnx_path": named[how], "digests": digests, "metrics": {}}
        moved = folder.with_name(forged.digest)
        folder.rename(moved)
        (moved / "manifest.json").write_text(json.dumps(told))
        for pointer in (tmp_path / "cache").glob("ver*/*.json"):
            pointer.write_text(pointer.read_text().replace(fetched.artifact.digest, forged.digest))
    assert cache.find(A) is None
    assert cache.last_verified() is None


def test_files_that_the_tag_does_not_name_are_not_restored(cache, files):
    """The pointer has the version's tags: another file, however whole, is not that version."""
    fetched = files()
    right = version(1, onnx_sha256=fetched.artifact.onnx_sha256)
    cache.remember(right, fetched)
    assert cache.last_verified() == (right, fetched)
    cache.remember(version(1, onnx_sha256="0" * 64), fetched)
    with pytest.raises(LoadError, match="tag onnx_sha256"):
        cache.last_verified()


def test_only_its_owner_may_read_it(cache, files, tmp_path):
    """Whatever the umask: an artifact may hold training rows."""
    before = os.umask(0)
    try:
        cache.remember(A, write_artifact(tmp_path / "made", b"not read here", a_b=b"c"))
    finally:
        os.umask(before)
    found = {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").rglob("*")}
    assert found == {0o700, 0o600}
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
