"""The error that ends a run without figures."""


class BenchError(RuntimeError):
    """The run is not possible here, or a response was wrong."""
