"""Keys in a device: SoftHSM is one in software, with the interface of real ones (PKCS#11)."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from approvals.envelope import PublicKey
from demo.processes import ROOT
from tests.required import module, program

pytestmark = pytest.mark.whole

PIN = "482913"
SIGN = """
import sys
from pathlib import Path
from trainer.signing_keys import open_key

signer = open_key(sys.argv[1], None)
Path(sys.argv[2]).write_bytes(signer.sign(b"content"))
print(signer.name)
"""


@dataclass(frozen=True)
class Token:
    """A new token, and processes that use it."""

    uri: str
    environment: dict[str, str]

    def run(self, *arguments, pin=PIN):
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False,
            env={**self.environment, "TRAINER_PASSPHRASE": pin},
        )  # fmt: skip

    def keys(self, *arguments, pin=PIN):
        return self.run("-m", "trainer", "keys", *arguments, pin=pin)


@pytest.fixture
def token(tmp_path):
    module("pkcs11")
    tool = program("softhsm2-util")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf")}
    init = [
        tool,
        "--init-token",
        "--free",
        "--label",
        "the ward",
        "--so-pin",
        "99999999",
        "--pin",
        PIN,
    ]
    subprocess.run(init, env=environment, check=True, capture_output=True)
    library = next(path for path in Path("/usr/lib").glob("**/libsofthsm2.so"))
    return Token(f"pkcs11:token=the%20ward;object=alice?module-path={library}", environment)


def test_a_pair_is_made_in_the_device_and_signs_there(token, tmp_path):
    made = token.keys("new", "alice", "--pkcs11", token.uri)
    assert made.returncode == 0, made.stderr
    assert token.keys("list", "--pkcs11", token.uri).stdout == made.stdout
    public = PublicKey.read(made.stdout.split('"')[1])
    signed = token.run("-c", SIGN, token.uri, tmp_path / "signature")
    assert signed.stdout == "alice\n", signed.stderr
    assert public.has_signed(b"content", (tmp_path / "signature").read_bytes())

    again = token.keys("new", "alice", "--pkcs11", token.uri)
    assert again.returncode == 1
    assert "has a key alice already, and a key is never overwritten" in again.stderr
    assert token.keys("list", "--pkcs11", token.uri).stdout == made.stdout


@pytest.mark.parametrize(
    ("change", "pin", "message"),
    [
        (("alice", "bob"), PIN, "the token cannot use the key bob (NoSuchKey)"),
        (("the%20ward", "other"), PIN, "NoSuchToken"),
        (("libsofthsm2", "nothing"), PIN, "the path of the library"),
        ((";object=alice", ""), PIN, "does not name a key"),
        (("?module-path", "?pin-value=1&module-path"), PIN, "and nothing else"),
        ((), "000000", "PinIncorrect"),
    ],
)
def test_what_cannot_sign_says_why(token, change, pin, message):
    """One line, without a stack trace."""
    uri = token.uri.replace(*change) if change else token.uri
    result = token.keys("list", "--pkcs11", uri, pin=pin)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert message in result.stderr
