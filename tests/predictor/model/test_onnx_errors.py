"""ONNX Runtime's messages keep their reason, whatever stands before it."""

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper
from sklearn.feature_extraction.text import TfidfVectorizer

from predictor.model.onnx_errors import missing_locale, one_line
from tests.predictor.graphs import WORDS, graph, reading_text, tensor


def failed_run(node, constants, width=2):
    model = graph([node], [tensor("X")], [tensor("y", shape=(None, width))], constants)
    with pytest.raises(Exception) as caught:  # noqa: PT011  ONNX Runtime has a dozen types
        ort.InferenceSession(model).run(None, {"X": np.zeros((1, 2), np.float32)})
    return caught.value


def test_the_place_in_the_source_is_dropped():
    """Kind, node and reason are what is left of 456 characters."""
    reshape = helper.make_node("Reshape", ["X", "to"], ["y"], name="flatten")
    error = failed_run(reshape, {"to": np.array([1, 7])}, 7)
    assert ".h:" in str(error)
    assert one_line(error) == (
        "FAIL : Non-zero status code returned while running Reshape node. Name:'flatten' "
        "input_shape_size == requested_shape_size was false. The input tensor cannot be reshaped "
        "to the requested shape. Input shape:{1,2}, requested shape:{1,7}"
    )


def test_a_message_without_a_source_place_is_unchanged():
    """A message that is short already."""
    gather = helper.make_node("Gather", ["X", "to"], ["y"], axis=1)
    said = one_line(failed_run(gather, {"to": np.array([1, 7])}))
    assert said.endswith(
        "indices element out of data bounds, idx=7 must be within the inclusive range [-2,1]"
    )


def test_a_long_message_keeps_both_ends():
    """The node, and the reason."""
    error = RuntimeError(f"while running node {'n' * 50_000} \n status: it is too short")
    said = one_line(error)
    assert len(said) == 300
    assert said.startswith("while running node nnn")
    assert said.endswith("nnn status: it is too short")


@pytest.mark.parametrize(
    "text", ["a.cc:1 (" * 50_000, "(" * 200_000, "x.h:1 " * 50_000, "[with " * 50_000]
)
def test_a_hostile_name_costs_nothing(text):
    """Graphs name their nodes; a message with such a name is read in no time."""
    assert len(one_line(RuntimeError(text))) <= 300


def test_a_missing_locale_is_named_with_what_installs_it():
    """Text models ask for one by its name."""
    error = RuntimeError(
        "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: /onnxruntime_src/string_normalizer.cc:235 "
        "onnxruntime::StringNormalizer::Locale::Locale(const std::string&)::<lambda()> Failed to construct locale "
        "with name:de_DE.UTF-8:locale::facet::_S_create_c_locale name not valid:Please, install necessary "
        "language-pack-XX and configure locales"
    )
    said = missing_locale(error)
    assert said is not None
    assert "de_DE.UTF-8" in said
    assert "localedef -i de_DE -f UTF-8 de_DE.UTF-8" in said
    assert missing_locale(RuntimeError("something else")) is None


LOADED = """
import json
import sys
from pathlib import Path
from predictor.errors import LoadError
from tests.predictor.parts import servable_of
try:
    servable = servable_of(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes())
except LoadError as error:
    print(f"{error.stage}: {error.reason}")
else:
    for row in servable.answer([("EIN GROSSER FUSS",), ("ÄRZTE",), ("Été",), ("nichts",)]):
        print(json.dumps(row.prediction))
"""


def loaded(tmp_path, locales):
    """What a process that finds its locales in `locales`, or has none of that name, says of a text model."""
    (tmp_path / "text.onnx").write_bytes(reading_text())
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path / "m"), str(tmp_path / "text.onnx")],
        env={**os.environ, "LOCPATH": str(locales)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.whole
def test_c_utf_8_under_the_name_that_text_models_ask_for(tmp_path):
    """As in the image: its letters become small as scikit-learn's do, those with accents too."""
    folder = tmp_path / "locales"
    folder.mkdir()
    (folder / "en_US.UTF-8").symlink_to("/usr/lib/locale/C.utf8")
    vectorizer = TfidfVectorizer(token_pattern=r"\w+").fit(WORDS)
    asked = ["EIN GROSSER FUSS", "ÄRZTE", "Été", "nichts"]
    expected = vectorizer.transform(asked).toarray().tolist()
    rows = [json.loads(line) for line in loaded(tmp_path, folder)]
    assert rows == [pytest.approx(row, abs=1e-6) for row in expected]
    assert np.count_nonzero(rows[1]) == np.count_nonzero(rows[2]) == 1


@pytest.mark.skipif(
    b"en_US.utf8" in subprocess.run(["locale", "-a"], capture_output=True, check=False).stdout,
    reason="this machine has the locale",
)
@pytest.mark.whole
def test_without_the_locale_the_refusal_says_what_to_install(tmp_path):
    """One line that names it."""
    (line,) = loaded(tmp_path, tmp_path)
    assert line.startswith("session: ONNX Runtime cannot load model.onnx: it reads text")
    assert "localedef -i en_US -f UTF-8 en_US.UTF-8" in line
