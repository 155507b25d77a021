"""Parameters that may not be left out in silence: they change the answer, or where its tensors are."""

from collections.abc import Container

from predictor.open_inference.inference_errors import InvalidInference

_NOT_OFFERED = ("classification", "shared_memory_region")


def check_offered(names: Container[str], place: str) -> None:
    """Raise InvalidInference if a parameter among these asks for what is not offered here."""
    for name in _NOT_OFFERED:
        if name in names:
            where = f"{place}.parameters.{name}".removeprefix(".")
            raise InvalidInference(f"{where}: not offered here")
