"""JsonText: read JSON in pieces, because the standard library holds the GIL while it reads a text.

A long object or list is read member by member; short members are read together, a few thousand characters
at a time. Values and errors are those of `json.loads`.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_PIECE = 16_384  # characters: about a quarter of a millisecond
_ENDS = {"[": "],", "{": "},"}  # how an element ends, with its comma, by its first character
_LONGEST_INTEGER = 400  # digits; the largest float64 has 309

Pairs = list[tuple[str, Any]]


class JsonText:
    """A text and a position in it; each method reads the next value from there.

    The methods raise ValueError, with the position, if the text is not JSON, and RecursionError if it is
    nested too deeply.
    """

    def __init__(self, text: str, pairs_hook: Callable[[Pairs], Any]) -> None:
        """`pairs_hook` turns an object's members into its value; they are in order, with duplicates."""
        self._text = text
        self._at = _skip(text, 0)
        self._hook = pairs_hook
        self._decoder = json.JSONDecoder(object_pairs_hook=pairs_hook, parse_int=_integer)

    def whole(self) -> Any:
        """The value of the whole text."""
        value = self.value()
        self.end()
        return value

    def end(self) -> None:
        """Check that no text follows."""
        if self._at < len(self._text):
            raise self._error("Extra data")

    def starts(self, sign: str) -> bool:
        """Whether the next value begins with this character, such as `[`."""
        return self._text.startswith(sign, self._at)

    def value(self) -> Any:
        """The next value."""
        if not self._text.startswith(("{", "["), self._at):
            return self._scan()
        short = self._text[self._at : self._at + _PIECE]
        try:
            value, end = self._decoder.raw_decode(short)
        except json.JSONDecodeError:
            if len(self._text) - self._at <= _PIECE:
                return self._scan()  # its error has the right position
        else:
            self._at = _skip(self._text, self._at + end)
            return value
        if self.starts("{"):
            return self._hook(self._pairs())
        values: list[Any] = []
        together = True
        for _ in self.elements():
            while together and (together := (some := self._several("[", "]")) is not None):
                values += some
            values.append(self.value())
        return values

    def _pairs(self) -> Pairs:
        pairs: Pairs = []
        together = True
        for _ in self._items("}"):
            while together and (together := (some := self._several("{", "}")) is not None):
                pairs += some.items() if isinstance(some, dict) else some
            pairs.append((self._name(), self.value()))
        return pairs

    def members(self) -> Iterator[str]:
        """The names in the next object. The caller reads each value before it takes the next name."""
        for _ in self._items("}"):
            yield self._name()

    def _name(self) -> str:
        if not self.starts('"'):
            raise self._error("Expecting property name enclosed in double quotes")
        name: str = self._scan()
        self._take(":", "Expecting ':' delimiter")
        return name

    def elements(self) -> Iterator[None]:
        """Yield before each element of the next list. The caller reads the element."""
        return self._items("]")

    def _items(self, last: str) -> Iterator[None]:
        self._at = _skip(self._text, self._at + 1)
        if self.starts(last):
            self._at = _skip(self._text, self._at + 1)
            return
        while True:
            yield
            if self.starts(last):
                self._at = _skip(self._text, self._at + 1)
                return
            self._take(",", "Expecting ',' delimiter")

    def _several(self, begin: str, end: str) -> Any:
        """Several elements or members, read together with the comma after them; None if that fails.

        The text is cut at a comma. If the comma is inside an element, the cut text is not a valid list.
        """
        last = _ENDS.get(self._text[self._at : self._at + 1], ",")
        cut = self._text.rfind(last, self._at, self._at + _PIECE) + len(last) - 1
        if cut <= self._at:
            return None
        try:
            several = self._decoder.decode(f"{begin}{self._text[self._at : cut]}{end}")
        except json.JSONDecodeError:
            return None
        self._at = _skip(self._text, cut + 1)
        return several

    def _scan(self) -> Any:
        value, end = self._decoder.raw_decode(self._text, self._at)
        self._at = _skip(self._text, end)
        return value

    def _take(self, sign: str, otherwise: str) -> None:
        if not self.starts(sign):
            raise self._error(otherwise)
        self._at = _skip(self._text, self._at + 1)

    def _error(self, message: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(message, self._text, self._at)


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf
