"""Why an answer is not explained. `errors.py` draws the whole tree."""

from predictor.errors import Conflict, Unavailable


class NotInTime(Unavailable):
    """An explanation took too long; later the machine may be less busy."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not explained within {seconds:g} s of computing; try again later")


class NoBackground(Conflict):
    """The serving version has nothing that answers could be explained against."""

    def __init__(self) -> None:
        super().__init__(
            "this version carries no background, the rows that answers are explained against; "
            "export it with one, as this project's trainer does: `background` in the graph's metadata"
        )


class NotExplainable(Conflict):
    """The serving version's answers are of a kind that is not explained; the message says why."""
