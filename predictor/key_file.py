"""KeyFile: the keys that a file held when it was last whole."""

from pathlib import Path

from predictor.errors import KeysError
from predictor.keys import Keys
from predictor.small_file import SmallFile

_MOST_BYTES = 1 << 20


class KeyFile:
    """Reads its file again when it is told to. A file that cannot be used changes nothing."""

    def __init__(self, path: Path) -> None:
        """Raises KeysError for a file that cannot be used."""
        self._file = SmallFile(path, _MOST_BYTES)
        try:
            self._content = self._file.read()
        except OSError as error:
            raise self._fault(error) from None
        self.keys = Keys.read(self._content)

    async def look(self) -> bool:
        """Whether other keys count than before. Raises KeysError, and goes on with those of before.

        The content is compared, and not its time: a change within one tick of the file system's
        clock is seen, too.
        """
        try:
            content = await self._file.latest()
        except OSError as error:
            raise self._fault(error) from None
        if content == self._content:
            return False
        keys = Keys.read(content)
        changed = keys != self.keys
        self.keys, self._content = keys, content
        return changed

    def _fault(self, error: OSError) -> KeysError:
        return KeysError(f"{self._file.path}: {error.strerror}")
