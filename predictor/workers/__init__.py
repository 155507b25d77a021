"""Several processes that serve on one port: supervisor, workers, and the memory that they share."""
