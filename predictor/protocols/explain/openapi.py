"""The schemas of an explanation, which are the same whatever serves."""

from typing import Any

_NUMBER = {"type": "number"}
_NAME = {"type": "string"}

EXPLANATION: dict[str, Any] = {
    "Contribution": {
        "type": "object",
        "description": "What one feature's value added to the answer, or took from it.",
        "properties": {
            "feature": _NAME,
            "value": {
                "type": ["number", "string", "boolean", "null"],
                "description": "Null where it is missing.",
            },
            "contribution": _NUMBER,
            "standard_error": {**_NUMBER, "minimum": 0, "description": "0 where it is exact."},
        },
        "required": ["feature", "value", "contribution", "standard_error"],
    },
    "Explanation": {
        "type": "object",
        "description": "Shapley values: the contributions, the largest first, add up to `value` less "
        "`baseline.value`, which is the mean over rows of the training data.",
        "properties": {
            "output": {**_NAME, "description": "The class that is explained, or `prediction`."},
            "scale": {"type": "string", "enum": ["probability", "log_odds", "value"]},
            "method": {"type": "string", "enum": ["linear", "permutation"]},
            "baseline": {
                "type": "object",
                "properties": {
                    "rows": {"type": "integer", "minimum": 1},
                    "value": _NUMBER,
                    "kind": {"type": "string", "enum": ["background"]},
                },
                "required": ["rows", "value", "kind"],
            },
            "value": {**_NUMBER, "description": "The answer, on `scale`."},
            "contributions": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Contribution"},
            },
            "permutations": {
                "type": "integer",
                "minimum": 0,
                "description": "How many were sampled; 0 where contributions are exact.",
            },
        },
        "required": [
            "output",
            "scale",
            "method",
            "baseline",
            "value",
            "contributions",
            "permutations",
        ],
    },
}
