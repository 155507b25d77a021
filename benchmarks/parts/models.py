"""Other models than the logistic regression: one record a request, and batches of 100 records."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.errors import BenchError
from benchmarks.models import (
    BOOSTING,
    FOREST,
    LOGISTIC,
    MLP,
    Graph,
    Model,
    diagnosis,
    synthetic,
    with_texts,
)
from benchmarks.parts import batch
from benchmarks.parts.http import Http, measure
from benchmarks.registry import publish
from benchmarks.servers import EMPTY, PREDICTOR
from demo.processes import ROOT
from predictor.model.artifact import sha256

LIGHTGBM = "LightGBM"
COLUMNS = "10 columns"
NUMBERS, TEXTS = "predictor, numbers only", "predictor, 4 columns of text"
BATCH_ROWS = 100


def run(context: BenchContext) -> list[Http]:
    """Measure more expensive models of the same 30 measurements."""
    found = [_one(context, kind, diagnosis(kind)) for kind in (FOREST, BOOSTING, MLP)]
    if model := lightgbm(context.folder):
        found.append(_one(context, LIGHTGBM, model))
    else:
        context.print_step(f"{LIGHTGBM} is left out: `make .venv-models/installed` installs it")
    return found


def lightgbm(folder: Path) -> Model | None:
    """LightGBM; None without its environment. Raises BenchError if it cannot be exported."""
    python = os.environ.get("MODELS_PYTHON") or str(ROOT / ".venv-models" / "bin" / "python")
    if not Path(python).exists():
        return None
    file = folder / "lightgbm.onnx"
    done = subprocess.run(
        [python, "-m", "benchmarks.references.lightgbm_model", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise BenchError(f"LightGBM cannot be exported: {done.stderr[-500:]}")
    content = file.read_bytes()
    return Model(Graph(content, sha256(content)), diagnosis(LOGISTIC).records)


def _one(context: BenchContext, kind: str, model: Model) -> Http:
    context.print_step(f"One record a request, and batches: {kind}")
    published = publish(context.mlflow_url, context.folder, kind, [model])
    with context.scope() as whole:
        scope = replace(whole, plan=whole.plan.brief)
        subjects = servers.all_three(scope, published)
        found = measure(kind, subjects, scope.plan)
        batches = batch.measure(scope, published, subjects[PREDICTOR], BATCH_ROWS)
        return replace(found, batches={PREDICTOR: batches})


def run_texts(context: BenchContext) -> Http:
    """Measure columns of which some have texts, and as many with numbers only."""
    context.print_step("Columns with texts")
    models = {NUMBERS: synthetic(10), TEXTS: with_texts(10, 4)}
    with context.scope() as whole:
        scope = replace(whole, plan=whole.plan.brief)
        published = {
            name: publish(context.mlflow_url, context.folder, name, [model])
            for name, model in models.items()
        }
        predictors = {name: servers.predictor(scope, each) for name, each in published.items()}
        empty = servers.empty(scope, published[NUMBERS])
        found = measure(COLUMNS, {EMPTY: empty, **predictors}, scope.plan)
        batches = {
            name: batch.measure(scope, published[name], subject, BATCH_ROWS)
            for name, subject in predictors.items()
        }
        return replace(found, batches=batches)
