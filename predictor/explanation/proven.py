"""What is read as linear from a graph, if the servable answers as that would."""

from predictor.explanation.linear import Linear, table
from predictor.explanation.linear_graph import read_linear
from predictor.servable import Servable


def proven_linear(servable: Servable, graph: bytes) -> Linear | None:
    """The linear model that a serialised graph is; None unless it answers the background as that does."""
    rows = servable.background
    linear = read_linear(graph, servable.signature) if rows else None
    if linear is None:
        return None
    proven = linear.agrees(table(servable.signature, rows), servable.answer(rows))
    return linear if proven else None
