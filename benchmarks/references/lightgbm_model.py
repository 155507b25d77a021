"""Fit LightGBM and write it as ONNX: `MODELS_PYTHON -m benchmarks.references.lightgbm_model FILE`.

It runs in the environment of `make models`: the benchmarks' own has neither LightGBM nor its converter.
"""

import sys
from importlib import import_module
from pathlib import Path

from sklearn.pipeline import Pipeline

from exporters.export import export
from exporters.metadata import Settings
from trainer import data


def write(file: Path) -> None:
    """A classifier of the 30 measurements, with LightGBM's defaults."""
    kind = import_module("lightgbm").LGBMClassifier
    rows = data.load()
    pipeline = Pipeline([("classify", kind(random_state=0, verbose=-1))])
    pipeline.fit(rows.features, rows.target)
    file.write_bytes(
        export(pipeline, rows.features, Settings(positive_class=data.POSITIVE)).content
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
