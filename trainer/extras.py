"""Packages of optional parts: which extra of `mlflow-hotswap` installs each."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_EXTRAS = {
    "catboost": "catboost",
    "duckdb": "duckdb",
    "evidently": "drift",
    "lightgbm": "lightgbm",
    "nats": "nats",
    "onnxmltools": "lightgbm",
    "optuna": "optuna",
    "pkcs11": "pkcs11",
    "psycopg2": "postgresql",
    "pyarrow": "record",
    "xgboost": "xgboost",
}
_OURS = {"exporters", "fleet", "mlflow_hotswap", "predictor", "trainer"}


@contextmanager
def missing_package_named(command: str) -> Iterator[None]:
    """End with exit code 1 and one line that names the extra, instead of a ModuleNotFoundError."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or package in _OURS:
            raise
        extra = _EXTRAS.get(package, "trainer")
        sys.exit(f"{command}: {package} is not installed: pip install 'mlflow-hotswap[{extra}]'")
