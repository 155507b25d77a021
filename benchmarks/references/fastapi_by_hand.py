"""A minimal hand-written service with FastAPI, Pydantic and ONNX Runtime.

It has no registry, swaps, metrics or limits. `async def` and one ONNX Runtime thread make it faster
than a typical one: FastAPI runs a plain `def` handler in a thread pool.
"""

import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
classes = os.environ["CLASSES"].split(",")
app = FastAPI()


class Measurements(BaseModel):
    """One record."""

    mean_radius: float
    mean_texture: float
    mean_perimeter: float
    mean_area: float
    mean_smoothness: float
    mean_compactness: float
    mean_concavity: float
    mean_concave_points: float
    mean_symmetry: float
    mean_fractal_dimension: float
    radius_error: float
    texture_error: float
    perimeter_error: float
    area_error: float
    smoothness_error: float
    compactness_error: float
    concavity_error: float
    concave_points_error: float
    symmetry_error: float
    fractal_dimension_error: float
    worst_radius: float
    worst_texture: float
    worst_perimeter: float
    worst_area: float
    worst_smoothness: float
    worst_compactness: float
    worst_concavity: float
    worst_concave_points: float
    worst_symmetry: float
    worst_fractal_dimension: float


class Prediction(BaseModel):
    """The response for one record."""

    prediction: str
    probability: float
    probabilities: dict[str, float]


@app.post("/predict")
async def predict(measurements: Measurements) -> Prediction:
    """Classify one record."""
    row = np.array([list(measurements.model_dump().values())], dtype=np.float32)
    labels, scores = session.run(["label", "probabilities"], {"features": row})
    probabilities = dict(zip(classes, scores[0].tolist(), strict=True))
    return Prediction(
        prediction=labels[0],
        probability=probabilities[labels[0]],
        probabilities=probabilities,
    )


@app.get("/health")
async def health() -> dict[str, str]:
    """Liveness."""
    return {"status": "ok"}
