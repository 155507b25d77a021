"""MLmodel: read as it is written, and within bounds whoever wrote it."""

import time

import pytest

from predictor.errors import LoadError
from predictor.loading.mlmodel import onnx_path, read_mlmodel


def merge_bomb(levels):
    """Each level has all keys of nine copies of the one before."""
    lines = ["a0: &a0 {k: 1, l: 2}"]
    for n in range(levels):
        copies = ", ".join([f"*a{n}"] * 9)
        lines.append(f"a{n + 1}: &a{n + 1}\n  <<: [{copies}]")
    return "\n".join(lines).encode()


def alias_bomb(levels):
    """One list of lists of lists, which as a text would not fit anywhere."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(levels)]
    return "\n".join([*lines, f"flavors: {{onnx: {{data: *a{levels}}}}}"]).encode()


def test_the_path_of_the_graph():
    """As MLflow and our trainer write it."""
    assert onnx_path(b"flavors:\n  onnx:\n    data: model.onnx\n") == "model.onnx"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no mapping"),
        (b"- a", "no mapping"),
        (b"a: [", "cannot be read"),
        (b"\xff\xfe\xfa", "cannot be read"),
        (b"a: 2024-13-45", "cannot be read"),
        (b"? [a]\n: 1", "cannot be read"),
        (b"!!python/object/apply:os.system [id]", "cannot be read"),
        (b"a: " + b"[" * 5000, "cannot be read"),
        (b"a: " + b"[" * 100_000 + b"]" * 100_000, "cannot be read"),
        (b"[" + b"[]," * 300_000 + b"]", "nodes"),
        (b"a: " + b"x" * 2_000_000, "larger than"),
        (merge_bomb(12), "merge key"),
        (b"a: 1", "no onnx flavour"),
        (b"flavors: {onnx: [1]}", "no onnx flavour"),
        (b"flavors: {sklearn: {}, python_function: {}}", "only sklearn, python_function. Export"),
        (b"flavors: {sklearn: {}}", r"skl2onnx.to_onnx\(model, X\[:1\]\)`.*mlflow.onnx.log_model"),
        (b"flavors: {xgboost: {}}", "onnxmltools.convert_xgboost"),
        (
            b"flavors:\n  ? 0x" + b"f" * 9000 + b"\n  : 1\n  " + b"x" * 999 + b": 2",
            "no onnx flavour",
        ),
        (b"flavors: {onnx: {data: [a]}}", "not a text"),
        (alias_bomb(30), "not a text"),
    ],
)
def test_what_cannot_be_read_is_refused_soon(content, words):
    """With its reason; a bomb does not go off."""
    started = time.monotonic()
    with pytest.raises(LoadError, match=words) as caught:
        onnx_path(content)
    assert caught.value.stage == "fetch"
    assert len(caught.value.reason) < 500
    assert time.monotonic() - started < 30


def test_one_thing_that_is_named_twice():
    """YAML written by a program has such references, and they are harmless."""
    read = read_mlmodel(b"a: &x {b: 1}\nc: *x")
    assert read == {"a": {"b": 1}, "c": {"b": 1}}
