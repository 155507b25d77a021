"""The two files that approvals need: whose approvals count, and the withdrawals that were seen so far."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from approvals.approvers import Approvers
from approvals.errors import ApproversError
from predictor.errors import KeysError, SettingsError
from predictor.keys import SmallFile
from predictor.settings import variable

VARIABLE = variable("approvers_file")
_MAX_BYTES = 1 << 20
_MAX_WITHDRAWAL_BYTES = 1 << 26
_MAX_UNKNOWN = 1000  # withdrawals by keys that are no longer in the file of approvers


class ApproversFile:
    """The file of the approvers, read again while the service runs. After a failed read, the previous rule stays valid."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError for a file that cannot be used."""
        self._file = SmallFile(path, _MAX_BYTES)
        try:
            self._content = self._file.read()
            self.approvers = Approvers.read(self._content)
        except OSError as error:
            raise SettingsError(f"{VARIABLE}: {path}: {error.strerror}") from None
        except ApproversError as error:
            raise SettingsError(f"{VARIABLE}: {path}: {error}") from None

    async def reload(self) -> bool:
        """Read the file again; return whether the rule changed. Raises KeysError; the previous rule stays valid."""
        try:
            content = await self._file.latest()
            if content == self._content:
                return False
            approvers = Approvers.read(content)
        except OSError as error:
            raise KeysError(f"{self._file.path}: {error.strerror}") from None
        except ApproversError as error:
            raise KeysError(f"{self._file.path}: {error}") from None
        changed = approvers != self.approvers
        self.approvers, self._content = approvers, content
        return changed


class Withdrawals:
    """Every valid withdrawal that was seen, in a file that all workers of the service share.

    Without them, an approval would count again once its withdrawal is deleted from the registry.
    """

    def __init__(self, path: Path) -> None:
        """A file that is missing or damaged is empty."""
        self._file = SmallFile(path, _MAX_WITHDRAWAL_BYTES)
        self.stored: tuple[str, ...] = ()
        self.known: tuple[str, ...] = ()
        # There is none yet, or the first write reports why it cannot be used.
        with contextlib.suppress(OSError):
            self._read(self._file.read())

    @property
    def complete(self) -> bool:
        """Whether the file has all known withdrawals."""
        return set(self.known) <= set(self.stored)

    def add(self, envelopes: Iterable[str], approvers: Approvers) -> None:
        """Add the valid withdrawals among these envelopes; forget the ones that a later one replaces."""
        # The key of an approver may be missing from the file only for a while.
        unknown = [text for text in self.known if not approvers.verified([text])]
        found = approvers.withdrawals((*self.known, *envelopes))
        self.known = (*found, *unknown[:_MAX_UNKNOWN])

    async def reload(self, approvers: Approvers) -> bool:
        """Read the file again; return whether it has withdrawals that were not known."""
        before = set(self.known)
        try:
            self._read(await self._file.latest())
        except OSError:  # it does not exist yet, or its folder hangs
            return False
        self.add((), approvers)
        return not set(self.known) <= before

    def _read(self, content: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            self.stored = msgspec.json.decode(content, type=tuple[str, ...])
            self.known = tuple(dict.fromkeys((*self.known, *self.stored)))
