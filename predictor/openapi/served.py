"""The schemas of what `GET /model` answers."""

from predictor.errors import INFERENCE, LOAD_STAGES
from predictor.openapi.operations import ref
from predictor.openapi.schemas import VERSION, Schema, an_object, number, or_null, text

_MOMENT = {"format": "date-time"}
_RUN = {**VERSION, "run_id": text("The MLflow run that logged it; empty where there was none.")}
_NUMBERS = {"type": "object", "additionalProperties": {"type": "number"}}

SERVED: dict[str, Schema] = {
    "ModelVersion": an_object(_RUN, "A version of a registered model."),
    "ServingVersion": an_object(
        {
            **_RUN,
            "digest": text("Digest of the ONNX graph that serves: `sha256:` and 64 hex digits."),
            "loaded_at": text("When it was ready to serve.", **_MOMENT),
            "load_seconds": number("How long it took to build and try it."),
            "metrics": {**_NUMBERS, "description": "The run's metrics, by name."},
            "signature": ref("ServingSignature"),
        },
        "The version that answers requests.",
    ),
    "ServingSignature": an_object(
        {
            "features": {"type": "array", "items": ref("ServingFeature")},
            "ignored": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Columns of MLflow's signature that may be sent and are ignored.",
            },
            "class_labels": {
                "type": "array",
                "items": {"anyOf": [{"type": kind} for kind in ("string", "integer", "boolean")]},
                "description": "In the order of the model's probabilities; empty for a regressor.",
            },
            "positive_class": or_null({"type": "string"}, "The class that is looked for."),
            "outputs": {"type": "array", "items": ref("ServingOutput")},
            "hints": {
                "type": "array",
                "items": {"type": "string"},
                "description": "What the graph's metadata could add.",
            },
        },
        "What the version takes and gives.",
    ),
    "ServingOutput": an_object(
        {
            "name": text(),
            "type": text("ONNX Runtime's, such as `tensor(float)`."),
            "shape": {
                "type": "array",
                "items": {"type": ["integer", "null"]},
                "description": "Null for the rows, and for a dimension that varies; empty where it has none.",
            },
            "role": or_null(
                text(enum=["prediction", "probabilities", "outputs"]),
                "The member of a prediction that has it; null for an output that none has.",
            ),
            "omitted_because": or_null({"type": "string"}, "Why no prediction has it."),
        },
        "One output of the graph.",
    ),
    "ServingFeature": an_object(
        {
            "name": text(),
            "type": text("Its JSON type.", enum=["number", "integer", "boolean", "string"]),
            "dtype": text("What the graph computes with, such as `float32`."),
            "required": {"type": "boolean", "description": "False where it may be missing."},
        },
        "One value of a record.",
    ),
    "FailedVersion": an_object(
        {
            **_RUN,
            "stage": text("How far it came; `inference` for one that serves and had to be stopped.", enum=[*LOAD_STAGES, INFERENCE]),
            "reason": text("What went wrong."),
            "attempts": {"type": "integer", "description": "How often that happened."},
            "failed_at": text("When it last happened.", **_MOMENT),
        },
        "A version that could not be made ready and is tried again, or that took too long to answer.",
    ),
    "Cache": an_object(
        {
            "fault": or_null(
                {"type": "string"},
                "Why what serves could not be written down for a start without the registry.",
            )
        },
        "Where versions are kept on disk.",
    ),
    "RegistryState": an_object(
        {
            "reachable": {"type": "boolean", "description": "Whether the last question got an answer."},
            "last_answer_at": or_null(text(**_MOMENT), "When it last answered."),
            "last_answer_age_seconds": or_null({"type": "number"}, "How long ago that is."),
            "fault": or_null({"type": "string"}, "Why the last question got no usable answer."),
            "names_none_because": or_null(
                {"type": "string"}, "Why its last answer named no version."
            ),
        },
        "What is known of MLflow's registry.",
    ),
    "Model": an_object(
        {
            "model_uri": text("What the service follows, such as `models:/NAME/Production`."),
            "workspace": or_null({"type": "string"}, "The MLflow workspace that it is in, if one is set."),
            "serving": or_null(ref("ServingVersion"), "What answers requests; null for nothing."),
            "aspired": or_null(ref("ModelVersion"), "What the registry says should serve."),
            "loading": or_null(ref("ModelVersion"), "What is being made ready."),
            "last_failure": or_null(ref("FailedVersion"), "What should serve and could not be loaded."),
            "cache": ref("Cache"),
            "registry": ref("RegistryState"),
        },
        "What serves, and what should.",
    ),
}  # fmt: skip
