"""What stands for an object that was read without its class."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Hashable, Mapping
from datetime import date, time
from typing import Any, Final

_PLAIN: Final = (str, int, float, bool, type(None))


class RawObject:
    """An object whose stored data alone was read: no class was looked up, imported or called.

    It can be compared and hashed, and it can't be saved: a raw checkpoint is only for reading.
    """

    __slots__ = ("type", "value")

    def __init__(self, type: str, value: Any) -> None:
        self.type: str = type
        """What stored data calls the class: ``"my_app:Order"``, or the name that it was registered with. ``"damaged"`` stands in
        the place of a value that can't be read, and its ``value`` is the reason."""
        self.value: Any = value
        """The data, raw as well. Of a model, a dataclass or a named tuple, a dict of its fields; of an enum, the member's name;
        of a registered type, what its ``to_data`` returned. Of a buffer, a dict with its length as ``bytes``, and its
        ``checksum``."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawObject) and self.type == other.type and bool(self.value == other.value)

    def __hash__(self) -> int:
        return hash((self.type, _frozen(self.value)))

    def __repr__(self) -> str:
        name = self.type.rpartition(":")[2] or self.type
        if isinstance(self.value, dict) and all(isinstance(key, str) and key.isidentifier() for key in self.value):
            return f"<{name} {', '.join(f'{key}={value!r}' for key, value in self.value.items())}>"
        return f"<{name} {self.value!r}>"

    def to_data(self) -> dict[str, Any]:
        """It as plain data that JSON can express: ``{"type": …, "value": …}``, and so for raw objects inside of it."""
        return {"type": self.type, "value": raw_data(self.value)}


def raw_data(value: Any) -> Any:
    """A value that was read raw, as plain data that JSON can express. What JSON has no word for is written as text.

    Sets and tuples become lists, bytes become base64, and keys that are not text are written as Python writes them.
    """
    if isinstance(value, RawObject):
        return value.to_data()
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(raw_data(key)): raw_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [raw_data(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode("ascii")
    if isinstance(value, float) and value - value != 0:
        return repr(value)
    if isinstance(value, date | time):
        return value.isoformat()
    return value if type(value) in _PLAIN else str(value)


def _frozen(value: Any) -> Hashable:
    """Something with a hash that equal values have in common."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, set):
        return frozenset(value)
    return value if isinstance(value, Hashable) else None
