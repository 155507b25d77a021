"""LightGBM, fitted in the environment of `make models`: the benchmarks' own has neither it nor its converter.

`MODELS_PYTHON -m benchmarks.boosted FILE` writes the ONNX file.
"""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from sklearn.pipeline import Pipeline

from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, Model, diagnosis
from compatibility.boosting import register_converter
from demo.processes import ROOT
from exporters.sklearn_onnx import OnnxExport, export
from predictor.model.artifact import sha256
from trainer import data


def lightgbm(folder: Path) -> Model | None:
    """LightGBM for the 30 measurements; None without its environment. Raises BenchError if it fails."""
    python = os.environ.get("MODELS_PYTHON") or str(ROOT / ".venv-models" / "bin" / "python")
    if not Path(python).exists():
        return None
    file = folder / "lightgbm.onnx"
    done = subprocess.run(
        [python, "-m", "benchmarks.boosted", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"LightGBM cannot be exported: {done.stderr[-500:]}")
    content = file.read_bytes()
    return Model(OnnxExport(content, sha256(content)), diagnosis(LOGISTIC).records)


def _write(file: Path) -> None:
    kind = import_module("lightgbm").LGBMClassifier
    register_converter("LightGBM", kind)
    rows = data.load()
    pipeline = Pipeline([("classify", kind(random_state=0, verbose=-1))])
    pipeline.fit(rows.features, rows.diagnosis)
    file.write_bytes(export(pipeline, rows.features, data.POSITIVE).content)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
