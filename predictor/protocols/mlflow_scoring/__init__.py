"""MLflow's scoring protocol: what `mlflow models serve` takes and answers, without MLflow and pandas."""
