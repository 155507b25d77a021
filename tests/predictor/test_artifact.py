"""An artifact's digest is that of its names and bytes."""

from predictor.artifact import Artifact, sha256_of
from tests.predictor.parts import write_artifact


def test_the_digest_covers_every_name_and_every_byte(tmp_path):
    """Two versions share a place in the cache only if all of their files are the same."""
    one = write_artifact(tmp_path / "1", b"x")
    same = write_artifact(tmp_path / "2", b"x")
    other = write_artifact(tmp_path / "3", b"y")
    more = write_artifact(tmp_path / "4", b"x", **{"w.bin": b""})
    assert one.digest == same.digest
    assert len({one.digest, other.digest, more.digest}) == 3


def test_the_order_of_the_files_does_not_matter(tmp_path):
    """The same files are the same artifact."""
    digests = {"a": "1", "b": "2"}
    reverse = dict(reversed(digests.items()))
    assert Artifact(tmp_path, "a", digests).digest == Artifact(tmp_path, "a", reverse).digest


def test_a_files_digest_is_its_sha256(tmp_path):
    """What `sha256sum` prints."""
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x").startswith("ba7816bf8f01cfea")
