"""Keys: what is on the disk, what opens it, and what each mistake says."""

import os
import pty
import re
import stat
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from approvals.approvers import Approvers
from approvals.envelope import PublicKey
from demo.processes import ROOT
from trainer.cli import app
from trainer.errors import SigningKeyError
from trainer.signing_keys import KeyFolder, open_key

WORDS = "correct horse battery"


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """The commands, in a folder of this test."""
    for name in ("TRAINER_PASSPHRASE", "TRAINER_PASSPHRASE_FILE", "TRAINER_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAINER_KEYS_FOLDER", str(tmp_path / "keys"))
    (tmp_path / "words").write_text(f"{WORDS}\nnot this line\n")

    def run(*arguments):
        return CliRunner().invoke(app, ["keys", *arguments])

    return run


def test_a_pair_is_made_once_and_its_line_is_that_of_a_file_of_approvers(keys, tmp_path):
    made = keys("new", "alice", "--passphrase-file", str(tmp_path / "words"))
    assert made.exit_code == 0, made.output
    (line,) = re.findall(r'^alice = "(.+)"$', made.stdout, re.MULTILINE)
    people = Approvers.read(f"required = 1\n[approvers]\n{made.stdout}".encode())
    assert people.keys == {"alice": (PublicKey.read(line),)}
    assert keys("list").stdout == made.stdout

    private = tmp_path / "keys/alice.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    before = private.read_bytes()
    assert before.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    again = keys("new", "alice", "--passphrase-file", str(tmp_path / "words"))
    assert (again.exit_code, private.read_bytes()) == (1, before)
    assert "exists already, and a key is never overwritten" in again.stderr

    (tmp_path / "keys/bob.pub").touch()
    assert (
        "bob.pub exists already"
        in keys("new", "bob", "--passphrase-file", str(tmp_path / "words")).stderr
    )
    assert not (tmp_path / "keys/bob.pem").exists()

    opened = open_key(None, tmp_path / "words")
    assert opened.public_key.has_signed(b"content", opened.sign(b"content"))
    assert WORDS not in repr(opened)


def test_openssl_reads_both_halves(keys, tmp_path):
    """They are standard files."""
    keys("new", "alice", "--passphrase-file", str(tmp_path / "words"))
    private, public = tmp_path / "keys/alice.pem", tmp_path / "keys/alice.pub"
    command = [
        "openssl",
        "pkey",
        "-in",
        private,
        "-passin",
        f"file:{tmp_path / 'words'}",
        "-pubout",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == public.read_text()


def test_a_passphrase_is_typed_twice_on_a_terminal(tmp_path):
    """And never shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        arguments = ["-m", "trainer", "keys", "new", "bob", "--folder", str(tmp_path)]
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
    seen = ""
    for expected in ("key bob: ", "confirmation: "):
        while expected not in seen:
            seen += os.read(terminal, 1024).decode()
        os.write(terminal, f"{WORDS}\n".encode())
    while True:
        try:
            seen += os.read(terminal, 1024).decode()
        except OSError:
            break
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    assert 'bob = "MCow' in seen
    assert WORDS not in seen
    assert (tmp_path / "bob.pem").exists()


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("a.b", WORDS, "cannot be the name of a key"),
        ("../alice", WORDS, "cannot be the name of a key"),
        ("", WORDS, "cannot be the name of a key"),
        ("alice", "short", "the passphrase has 5 characters; take at least 12"),
        ("alice", "", "the passphrase has 0 characters"),
    ],
)
def test_what_makes_no_pair(keys, tmp_path, name, words, message):
    (tmp_path / "words").write_text(words)
    made = keys("new", name, "--passphrase-file", str(tmp_path / "words"))
    assert made.exit_code == 1
    assert message in made.stderr
    assert not (tmp_path / "keys").exists()


def test_without_a_terminal_or_a_file_it_says_where_a_passphrase_can_be(keys):
    made = keys("new", "alice")
    assert made.exit_code == 1
    assert "give --passphrase-file FILE, or set TRAINER_PASSPHRASE" in made.stderr


def test_what_opens_no_key(keys, tmp_path):
    words = tmp_path / "words"
    with pytest.raises(SigningKeyError, match="has no key"):
        open_key(None, words)
    for name in ("alice", "bob"):
        keys("new", name, "--passphrase-file", str(words))
    with pytest.raises(SigningKeyError, match="has the keys alice, bob: choose one with --key"):
        open_key(None, words)
    with pytest.raises(SigningKeyError, match=r"there is no key .*/carol.pem"):
        open_key("carol", words)
    with pytest.raises(SigningKeyError, match=r"words.pem is not an encrypted key in PEM"):
        open_key(str(words.rename(tmp_path / "words.pem")), None)
    wrong = tmp_path / "wrong"
    wrong.write_text("another passphrase")
    with pytest.raises(SigningKeyError, match="the passphrase is wrong, or the file is damaged"):
        open_key("alice", wrong)
    with pytest.raises(SigningKeyError, match="nowhere cannot be read: No such file"):
        open_key("alice", tmp_path / "nowhere")


def test_a_key_can_be_named_by_its_path(keys, tmp_path):
    keys("new", "alice", "--passphrase-file", str(tmp_path / "words"))
    path = tmp_path / "keys/alice.pem"
    assert open_key(str(path), tmp_path / "words").name == "alice"


def test_a_damaged_public_half_is_named(tmp_path):
    (tmp_path / "alice.pub").write_text("nonsense")
    with pytest.raises(SigningKeyError, match=r"alice.pub is not a public key"):
        KeyFolder(tmp_path).public_keys()
