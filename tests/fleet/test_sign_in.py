"""The sign-in to NATS, by the content of a file."""

import base64
import subprocess
import sys

import pytest

from demo.processes import ROOT
from fleet import sign_in
from tests.fleet.accounts import ACCOUNT, USER, Key, configured, credentials
from tests.nats_server import nats_server


def test_one_line_is_a_user_or_a_token():
    """A password may contain colons."""
    assert sign_in.options(b"ward:a:b\n") == {"user": "ward", "password": "a:b"}
    assert sign_in.options(b"a-token\n") == {"token": "a-token"}


def with_seed(seed: str) -> str:
    """A `.creds` file with another seed."""
    before = credentials(Key(ACCOUNT)).partition("-----BEGIN USER")[0]
    return f"{before}-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"


def test_a_creds_file_signs_what_the_server_sends():
    """With the user's key; the JWT goes along."""
    key = Key(USER)
    text = with_seed(key.seed)
    found = sign_in.options(text.encode())
    assert found["user_jwt_cb"]().decode() in text
    signature = base64.b64decode(found["signature_cb"]("a nonce"))
    key.private.public_key().verify(signature, b"a nonce")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (credentials(Key(ACCOUNT)).partition("-----BEGIN USER")[0], "one block"),
        (credentials(Key(ACCOUNT)).replace("\ney", "\n e y"), "one block"),
        (with_seed(Key(ACCOUNT).seed), "not that of a user's key"),
        (with_seed(Key(USER).seed[:-1]), "not that of a user's key"),
        (with_seed(Key(USER).seed.lower()), "not that of a user's key"),
        (with_seed("SU" + Key(USER).seed[:1:-1]), "not that of a user's key"),
    ],
    ids=["no seed", "no JWT", "an account's key", "cut off", "in lower case", "a changed key"],
)
def test_a_creds_file_that_is_broken_is_refused(text, reason):
    """The error quotes nothing of it."""
    with pytest.raises(ValueError, match=reason) as refused:
        sign_in.options(text.encode())
    for line in filter(None, text.splitlines()):
        assert line not in str(refused.value)


@pytest.mark.whole
def test_the_trainer_signs_in_with_a_creds_file(tmp_path):
    """At a server that takes JWTs only; a user of an account that it does not know is refused."""
    file, account = configured(tmp_path)
    known, unknown = tmp_path / "known.creds", tmp_path / "unknown.creds"
    known.write_text(credentials(account))
    unknown.write_text(credentials(Key(ACCOUNT)))
    with nats_server(tmp_path, "--config", str(file)) as server:
        command = [
            sys.executable,
            "-m",
            "trainer",
            "fleet",
            "--nats",
            server.url,
            "--credentials-file",
        ]
        done = [
            subprocess.run(
                [*command, str(each)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
            )
            for each in (known, unknown)
        ]  # fmt: skip
    assert "no replica has reported" in done[0].stdout
    assert done[0].stderr == ""
    assert "Authorization Violation" in done[1].stderr
