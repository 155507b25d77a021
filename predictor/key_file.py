"""KeyFile: the keys that a file held when it was last whole."""

import asyncio
from pathlib import Path

from predictor.errors import KeysError
from predictor.keys import Keys

_MOST_BYTES = 1 << 20


class KeyFile:
    """Reads its file again when it is told to. A file that cannot be used changes nothing."""

    def __init__(self, path: Path) -> None:
        """Raises KeysError for a file that cannot be used."""
        self.path = path
        self._content = _read(path)
        self.keys = Keys.read(self._content)

    async def look(self) -> bool:
        """Whether other keys count than before. Raises KeysError, and goes on with those of before.

        The content is compared, and not its time: a change within one tick of the file system's
        clock is seen, too. A thread reads, because a folder on the network may hang.
        """
        content = await asyncio.to_thread(_read, self.path)
        if content == self._content:
            return False
        keys = Keys.read(content)
        changed = keys != self.keys
        self.keys, self._content = keys, content
        return changed


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None
    if len(content) > _MOST_BYTES:
        raise KeysError(f"{path}: larger than {_MOST_BYTES} bytes")
    return content
