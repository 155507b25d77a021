"""Key files: valid lines, refused lines, and comparison in constant time."""

import hashlib
import hmac
import subprocess
import sys

import pytest

from predictor.errors import KeysError
from predictor.keys import KeyFile, Keys, line_of, read_keys

TWO = f"{line_of('ward-1', 'one')}\n{line_of('ward-2', 'two')}\n"


def test_a_key_is_known_by_its_name():
    """Each key has its own name; an unknown key has none."""
    keys = Keys.read(f"# for the wards\n\n{TWO}".encode())
    assert keys.owner(b"one") == "ward-1"
    assert keys.owner(b"two") == "ward-2"
    digest = hashlib.sha256(b"one").hexdigest()
    for wrong in (b"", b"One", b"one ", b"ward-1", digest.encode(), b"\xff" * 32_000):
        assert keys.owner(wrong) is None


def test_two_keys_may_have_one_name():
    """During a change from an old key to a new one, both are valid."""
    lines = f"{line_of('ward-1', 'old')}\n{line_of('ward-1', 'new')}"
    keys = Keys.read(lines.encode())
    assert keys.owner(b"old") == keys.owner(b"new") == "ward-1"


@pytest.mark.parametrize(
    "content",
    [
        "", "\n# nobody\n", "plain-key", "ward-1:secret", "ward-1:" + "0" * 63, "ward-1:" + "A" * 64,
        "ward 1:" + "0" * 64, ":" + "0" * 64, "a" * 65 + ":" + "0" * 64, TWO + "half of a li",
        "wärd:" + "0" * 64, "ward-1:" + "0" * 64 + " # mine", "\n".join(["x:" + "0" * 64] * 1001),
        line_of("nobody", ""),
    ],
)  # fmt: skip
def test_a_file_with_one_wrong_line_is_refused(content):
    """The error does not quote the line, which may be a key."""
    with pytest.raises(KeysError) as caught:
        Keys.read(content.encode())
    assert not {"plain-key", "secret", "half", "mine"} & set(str(caught.value).split())


def test_every_key_is_compared_in_constant_time(monkeypatch):
    """The number of comparisons is the same for the first key, the last key and no key."""
    compared = []

    def counting(one, other):
        compared.append((len(one), len(other)))
        return genuine(one, other)

    genuine = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", counting)
    keys = Keys.read("\n".join(line_of(f"n{i}", f"key {i}") for i in range(50)).encode())
    for presented in (b"key 0", b"key 49", b"none", b"", b"k" * 10_000):
        keys.owner(presented)
        assert compared == [(32, 32)] * 50
        compared.clear()


def test_the_command_makes_a_key_and_its_line():
    """The line is valid for exactly this key; each key is new."""
    commands = [made("ward-1") for _ in range(2)]
    for done in commands:
        key, line = done.stderr.strip(), done.stdout.strip()
        assert len(key) == 43
        assert line.startswith("ward-1:")
        assert key not in line
        assert Keys.read(line.encode()).owner(key.encode()) == "ward-1"
    assert commands[0].stderr != commands[1].stderr


@pytest.mark.parametrize("redirected", [False, True])
def test_no_key_lands_in_a_file_by_accident(tmp_path, redirected):
    """The key file gets the lines, with `--append` as with `>>`; the keys go to the terminal."""
    path = tmp_path / "api_keys"
    keys = []
    for name in ("ward-1", "ward-2"):
        if redirected:
            with path.open("a") as file:
                done = made(name, stdout=file)
        else:
            done = made(name, "--append", str(path))
            assert done.stdout == ""
        assert done.returncode == 0
        keys.append(done.stderr.strip())
    assert not any(key in path.read_text() for key in keys)
    found = read_keys(path)
    assert [found.owner(key.encode()) for key in keys] == ["ward-1", "ward-2"]


def test_a_new_key_file_is_for_its_owner_only(tmp_path):
    """Other users need no digests."""
    assert made("ward-1", f"--append={tmp_path / 'new'}").returncode == 0
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("before", ["", "# wards\n", TWO, TWO.rstrip("\n"), TWO + "\n\n"])
def test_a_line_is_appended_to_whatever_the_file_ends_with(tmp_path, before):
    """A last line without a line break stays a line of its own; existing keys stay valid."""
    path = tmp_path / "keys"
    path.write_text(before)
    done = made("new", "--append", str(path))
    keys = read_keys(path)
    assert keys.owner(done.stderr.strip().encode()) == "new"
    assert keys.owner(b"one") == ("ward-1" if TWO.strip() in before else None)
    assert path.read_text().startswith(before)


def test_nothing_is_appended_to_a_file_that_cannot_be_used(tmp_path):
    """One line names the file and no part of its content, which may be a key; no key is made."""
    wrong, full = tmp_path / "wrong", tmp_path / "full"
    wrong.write_text("plain-key\n")
    full.write_text("\n".join([line_of("x", "1")] * 1000))
    for path in (wrong, full, tmp_path, tmp_path / "missing" / "keys"):
        before = path.read_text() if path.is_file() else None
        done = made("ward-1", "--append", str(path))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert str(path) in done.stderr
        assert "plain-key" not in done.stderr
        assert (path.read_text() if path.is_file() else None) == before


@pytest.mark.parametrize(
    "arguments", [[], ["a", "b"], ["a:b"], [""], ["a b"], ["a", "--append"], ["a", "--out", "f"]]
)
def test_the_command_refuses_invalid_arguments(arguments):
    """In one line, with exit code 2."""
    done = made(*arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def made(*arguments, stdout=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "predictor.keys", *arguments],
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip


async def test_a_file_is_read_again_when_it_changes(tmp_path):
    """Overwritten or renamed, also within one tick of the clock and with the same size."""
    path = tmp_path / "keys"
    path.write_text(line_of("a", "one"))
    file = KeyFile(path)
    assert not await file.reload()
    path.write_text(line_of("a", "two"))
    assert await file.reload()
    assert (file.keys.owner(b"one"), file.keys.owner(b"two")) == (None, "a")
    other = tmp_path / "new"
    other.write_text(TWO)
    other.rename(path)
    assert await file.reload()
    assert file.keys.owner(b"one") == "ward-1"
    path.write_text(f"# the same keys\n{TWO}")
    assert not await file.reload()


async def test_a_broken_file_changes_nothing(tmp_path):
    """Missing, half written, too large, or a folder: the previous keys stay valid, and the error is reported."""
    path = tmp_path / "keys"
    path.write_text(TWO)
    file = KeyFile(path)
    broken = [path.unlink, lambda: path.write_text(TWO[:-9]), lambda: path.write_text("")]
    broken += [lambda: path.write_text("#" * (1 << 20) + "\n"), path.unlink, path.mkdir]
    for break_it in broken:
        break_it()
        for _ in range(2):
            with pytest.raises(KeysError):
                await file.reload()
        assert file.keys.owner(b"one") == "ward-1"
    path.rmdir()
    path.write_text(line_of("ward-2", "two"))
    assert await file.reload()
    assert file.keys.owner(b"one") is None


def test_a_file_that_cannot_be_used_is_refused_at_once(tmp_path):
    """By its path."""
    with pytest.raises(KeysError, match="missing: No such file"):
        KeyFile(tmp_path / "missing")
