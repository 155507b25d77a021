"""What a protocol buffer's messages are, field by field, to compare two accounts of one protocol."""

from collections.abc import Iterable, Iterator
from typing import Any


def described(messages: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Each message and those in it: the number, type and label of each field."""
    for message in messages:
        fields = message.fields
        yield message.full_name, {f.name: [f.number, f.type, f.is_repeated] for f in fields}
        yield from described(message.nested_types)
