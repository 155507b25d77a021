"""Fit LightGBM and write it as ONNX: `MODELS_PYTHON -m benchmarks.references.lightgbm_model FILE`.

It runs in the environment of `make models`: the benchmarks' own has neither LightGBM nor its converter.
"""

import sys
from importlib import import_module
from pathlib import Path

from sklearn.pipeline import Pipeline

from compatibility.boosting import register_converter
from exporters.sklearn_onnx import export
from trainer import data


def write(file: Path) -> None:
    """A classifier of the 30 measurements, with LightGBM's defaults."""
    kind = import_module("lightgbm").LGBMClassifier
    register_converter("LightGBM", kind)
    rows = data.load()
    pipeline = Pipeline([("classify", kind(random_state=0, verbose=-1))])
    pipeline.fit(rows.features, rows.diagnosis)
    file.write_bytes(export(pipeline, rows.features, data.POSITIVE).content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
