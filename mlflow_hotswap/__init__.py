"""The console script `mlflow-hotswap`: the commands of the service and of the trainer in one."""
