"""The models of the benchmarks serve."""

import msgspec
import pandas as pd
import pytest

from benchmarks.models import with_texts
from benchmarks.parts.models import lightgbm
from tests.predictor.parts import servable_of
from tests.required import environment


def test_columns_with_texts_are_one_input_each(tmp_path):
    """The service gives scikit-learn's probabilities."""
    model = with_texts(10, 4)
    servable = servable_of(tmp_path, model.export.content)
    assert [feature.type for feature in servable.signature.features] == [
        *["number"] * 6,
        *["string"] * 4,
    ]
    records = model.records[:20]
    rows, errors = servable.decoder.records([msgspec.json.encode(each) for each in records])
    assert errors == {}
    expected = model.pipeline.predict_proba(pd.DataFrame(records))
    for answer, probabilities in zip(servable.answer(rows), expected, strict=True):
        assert [*answer.probabilities.values()] == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.whole
def test_lightgbm_is_exported_in_its_own_environment(tmp_path, monkeypatch):
    """The service answers to each record."""
    monkeypatch.setenv("MODELS_PYTHON", environment("models"))
    model = lightgbm(tmp_path)
    servable = servable_of(tmp_path, model.export.content)
    bodies = [msgspec.json.encode(each) for each in model.records[:20]]
    rows, errors = servable.decoder.records(bodies)
    assert errors == {}
    assert {answer.prediction for answer in servable.answer(rows)} <= {"benign", "malignant"}


def test_lightgbm_is_left_out_without_its_environment(tmp_path, monkeypatch):
    """The other models are still measured."""
    monkeypatch.setenv("MODELS_PYTHON", str(tmp_path / "python"))
    assert lightgbm(tmp_path) is None
