"""What ends a run: a figure that would not mean what it says."""


class BenchError(RuntimeError):
    """A run that cannot be done, or an answer that is wrong."""
