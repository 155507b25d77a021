"""`mlflow models serve`: its environment, and how it is started."""
