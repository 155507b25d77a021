"""MLmodel: read as it is written, and within bounds."""

import time

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import Model, infer_signature

from predictor.errors import LoadError
from predictor.model.mlmodel import onnx_path, read_mlmodel


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


# Of the longest texts, one of each kind is in `make test`.
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a YAML mapping"),
        (b"- a", "not a YAML mapping"),
        (b"a: [", "cannot be read"),
        (b"\xff\xfe\xfa", "cannot be read"),
        (b"? [a]\n: 1", "cannot be read"),
        (b"!!python/object/apply:os.system [id]", "not a YAML mapping"),
        (b"a: 1\na: 2", "'a' occurs twice"),
        (b"a: &x [*x]", "node that contains it"),
        (b"a: *x", "cannot be read"),
        (b"a: 1\n--- \nb: 2", "cannot be read"),
        (b"a: " + b"[" * 5000, "cannot be read"),
        (b"a: " + b"[" * 100_000 + b"]" * 100_000, "cannot be read"),
        (b"[" + b"[]," * 300_000 + b"]", "nodes"),
        (b"a: " + b"x" * 1_000_000, "larger than"),
        (merge_bomb(1), "merge key"),
        (merge_bomb(12), "nodes"),
        (b"a: 1", "no onnx flavour"),
        (b"flavors: {onnx: [1]}", "no onnx flavour"),
        (b"flavors: {sklearn: {}, python_function: {}}", "only sklearn, python_function. Register"),
        (b"flavors: {xgboost: {}}", "python -m trainer convert models:/NAME/VERSION --data"),
        (b"flavors: {pytorch: {}}", "torch.onnx.export`.*mlflow.onnx.log_model"),
        (
            b"flavors:\n  ? 0x" + b"f" * 9000 + b"\n  : 1\n  " + b"x" * 999 + b": 2",
            "no onnx flavour",
        ),
        (b"flavors: {onnx: {data: [a]}}", "not text"),
        (alias_bomb(30), "nodes"),
        (b"flavors: " + b"1:" * 450_000 + b"1", "no onnx flavour"),
        (b"flavors: " + b"1" * 900_000, "no onnx flavour"),
        pytest.param(b"flavors: 0x" + b"f" * 900_000, "no onnx flavour", marks=pytest.mark.whole),
        pytest.param(b"flavors: 1_" + b"0_" * 450_000, "no onnx flavour", marks=pytest.mark.whole),
        pytest.param(
            b"flavors: " + b"1" * 450_000 + b"." + b"1" * 450_000,
            "no onnx flavour",
            marks=pytest.mark.whole,
        ),
        pytest.param(
            b"flavors: 0." + b"_" * 900_000 + b"e", "no onnx flavour", marks=pytest.mark.whole
        ),
        (b'flavors: "' + b"\\n" * 450_000 + b'"', "no onnx flavour"),
        pytest.param(
            b"flavors: '" + b"a \n" * 250_000 + b"'", "no onnx flavour", marks=pytest.mark.whole
        ),
        pytest.param(
            b"flavors: |\n" + b" a\n" * 250_000, "no onnx flavour", marks=pytest.mark.whole
        ),
        (b"#\n" * 450_000, "not a YAML mapping"),
        pytest.param(b"a: " + b"\n" * 900_000, "no onnx flavour", marks=pytest.mark.whole),
        pytest.param(b"? " * 400_000, "cannot be read", marks=pytest.mark.whole),
        (b"- " * 400_000, "cannot be read"),
        pytest.param(b"&a " * 300_000, "cannot be read", marks=pytest.mark.whole),
        (b"{" + b"a" * 900_000, "cannot be read"),
        (b"%TAG ! tag:" + b"x" * 900_000 + b"\n--- a: 1", "cannot be read"),
    ],
)
def test_an_unreadable_mlmodel_is_refused_quickly(content, words):
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("~", None), ("", None), ("true", True), ("False", False), ("7", 7),
        ("-12", -12), ("2.5", 2.5), ("1.5e-07", 1.5e-7), ("'7'", "7"), ('"null"', "null"),
        ("3.17.2", "3.17.2"), ("1:30", "1:30"), ("0x10", "0x10"), ("1_000", "1_000"),
        ("9" * 19, "9" * 19), ("yes", "yes"), ("2024-01-31", "2024-01-31"), (".inf", ".inf"),
        ("!!int '7'", "7"), ("[a, 1]", ["a", 1]), ("{b: null}", {"b": None}),
        ("'<<'", "<<"), ("model.onnx", "model.onnx"),
    ],
)  # fmt: skip
def test_scalars_are_converted(text, value):
    """Null, a truth, a short number; whatever else YAML would make of it is its text."""
    read = read_mlmodel(f"a: {text}\n".encode())["a"]
    assert (read, type(read)) == (value, type(value))


def test_a_description_that_mlflow_wrote(tmp_path):
    """Is read as PyYAML reads it."""
    described = Model(
        artifact_path="model", run_id="0" * 32,
        signature=infer_signature(
            pd.DataFrame({f"column {n}": [0.5] for n in range(2000)}), np.array([1.0])
        ),
        metadata={"shared": (shared := [1, "two"]), "again": shared, "none": None, "on": True},
    ).to_yaml()  # fmt: skip
    read = dict(read_mlmodel(described.encode()))
    whole = yaml.safe_load(described)
    for each in (read, whole):
        each.pop("utc_time_created")  # which PyYAML may make a date of
    assert read == whole
