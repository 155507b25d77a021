"""Post: what the supervisor gives a worker: its number, and descriptors of what they share."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Post:
    """A worker's place. It is handed on as one argument, so that a list of processes shows it.

    `listener`, `memory` and `line` are descriptors; `since` is when the first turn to look at the
    registry began, in seconds of the monotonic clock.
    """

    worker: int
    workers: int
    listener: int
    memory: int
    since: float
    line: int = -1

    @classmethod
    def read(cls, text: str) -> "Post":
        """The post that `str` wrote."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))
