"""Train, compare, register and promote: what a data scientist runs."""

import os

# MLflow reports usage unless this is set before the first import. A hospital's does not.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
