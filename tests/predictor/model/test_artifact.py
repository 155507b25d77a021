"""An artifact's digest is that of its names and bytes."""

from predictor.model.artifact import Artifact, Fetched, sha256
from tests.predictor.parts import write_artifact


def test_the_digest_covers_every_name_and_every_byte(tmp_path):
    """Two versions share a place in the cache only if all of their files are the same."""
    one = write_artifact(tmp_path / "1", b"x").artifact
    same = write_artifact(tmp_path / "2", b"x").artifact
    other = write_artifact(tmp_path / "3", b"y").artifact
    more = write_artifact(tmp_path / "4", b"x", **{"w.bin": b""}).artifact
    assert one.digest == same.digest
    assert len({one.digest, other.digest, more.digest}) == 3


def test_the_order_of_the_files_does_not_matter():
    """The same files are the same artifact."""
    digests = {"a": "1", "b": "2"}
    reverse = dict(reversed(digests.items()))
    assert Artifact("a", digests).digest == Artifact("a", reverse).digest


def test_a_files_digest_is_its_sha256():
    """What `sha256sum` prints."""
    assert sha256(b"abc").startswith("ba7816bf8f01cfea")


def test_external_data_excludes_the_graph_and_mlmodel():
    """By the path that the graph uses: relative to its own folder."""
    contents = {"MLmodel": b"m", "onnx/model.onnx": b"g", "onnx/w/1.bin": b"w"}
    fetched = Fetched.of("onnx/model.onnx", contents, {})
    assert (fetched.mlmodel, fetched.graph) == (b"m", b"g")
    assert fetched.external_data == {"w/1.bin": b"w"}
