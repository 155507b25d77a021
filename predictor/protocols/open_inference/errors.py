"""What is wrong with a request of the Open Inference Protocol, and which parameters may not be left out."""

from collections.abc import Container

from predictor.errors import BadRequest, NotFound


class InvalidInference(BadRequest):
    """A request, or one of its tensors, that the serving model does not take. The message names it."""


class UnknownModel(NotFound):
    """A model that is not served here, or a version of it that does not serve now."""


_LONGEST = 100  # characters: a client's own text is not echoed at length


def quoted(name: str) -> str:
    """A name that a client sent, for a message."""
    # Half of a surrogate pair cannot be written as UTF-8, so it is shown as its escape.
    plain = name.encode("utf-8", "backslashreplace").decode()
    return f"`{plain if len(plain) <= _LONGEST else plain[:_LONGEST] + '…'}`"


_NOT_OFFERED = ("classification", "shared_memory_region")


def check_offered(names: Container[str], place: str) -> None:
    """Raise InvalidInference if a parameter among these asks for what is not offered here."""
    for name in _NOT_OFFERED:
        if name in names:
            where = f"{place}.parameters.{name}".removeprefix(".")
            raise InvalidInference(f"{where}: not offered here")
