"""CBOR, the binary relative of JSON that RFC 8949 describes. What this plugin writes, other readers of CBOR understand."""

from __future__ import annotations

import struct
from typing import Any, ClassVar, Final, TypeAlias

from spark.graphs.checkpoint.storage import Format


class _Kind:
    """The upper three bits of a value's first byte."""

    POSITIVE, NEGATIVE, BYTES, TEXT, LIST, MAPPING = range(6)


Tree: TypeAlias = "bool | int | float | str | bytes | list[Tree] | dict[str, Tree] | None"
"""What the core gives to a format, and wants back."""

_SIMPLE: Final = {0xF4: False, 0xF5: True, 0xF6: None}
_FLOAT: Final = 0xFB
_DEEPEST: Final = 500


class ExampleFormat(Format):
    """Writes plain trees as CBOR: small, exact, and safe to load, since it only knows plain values."""

    name: ClassVar[str] = "example"
    suffix: ClassVar[str] = "cbor"
    safe_to_load: ClassVar[bool] = True
    takes_bytes: ClassVar[bool] = True

    def dumps(self, tree: Any) -> bytes:
        return _written(tree)

    def loads(self, data: bytes) -> Any:
        reader = _Reader(data)
        tree = reader.value(0)
        if reader.place != len(data):
            raise ValueError(f"{len(data) - reader.place} bytes follow the value.")
        return tree

    # With these, a mapping can be put together from members that were written before: a checkpoint then costs only what has
    # changed, and large sections are kept in chunks.

    composes = True

    def opening(self, count: int) -> bytes:
        return _head(_Kind.MAPPING, count)

    def key(self, name: str) -> bytes:
        return _written(name)


def _written(value: Tree) -> bytes:
    match value:
        case True | False | None:
            return bytes(code for code, simple in _SIMPLE.items() if simple is value)
        case int():
            return _head(_Kind.POSITIVE, value) if value >= 0 else _head(_Kind.NEGATIVE, -1 - value)
        case float():
            return struct.pack(">Bd", _FLOAT, value)
        case str():
            text = value.encode()
            return _head(_Kind.TEXT, len(text)) + text
        case bytes():
            return _head(_Kind.BYTES, len(value)) + value
        case list():
            return _head(_Kind.LIST, len(value)) + b"".join(map(_written, value))
        case dict():
            members = (_written(name) + _written(item) for name, item in value.items())
            return _head(_Kind.MAPPING, len(value)) + b"".join(members)
    raise TypeError(f"A {type(value).__name__} is not a plain value.")


def _head(kind: int, number: int) -> bytes:
    """The first bytes of a value: what it is, and its length, or the number itself."""
    if number < 24:
        return bytes((kind << 5 | number,))
    for size, code in enumerate("BHIQ"):
        if number < 1 << (8 << size):
            return struct.pack(f">B{code}", kind << 5 | 24 + size, number)
    raise OverflowError(f"{number} takes more than 64 bits.")


class _Reader:
    """Reads one value after another. It asks for no memory that the bytes do not fill."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"The tree is deeper than {_DEEPEST} levels.")
        first = self._take(1)[0]
        if first in _SIMPLE:
            return _SIMPLE[first]
        if first == _FLOAT:
            return struct.unpack(">d", self._take(8))[0]
        kind, number = first >> 5, self._number(first & 31)
        match kind:
            case _Kind.POSITIVE:
                return number
            case _Kind.NEGATIVE:
                return -1 - number
            case _Kind.BYTES:
                return self._take(number)
            case _Kind.TEXT:
                return self._take(number).decode()
            case _Kind.LIST:
                return [self.value(depth + 1) for _ in range(number)]
            case _Kind.MAPPING:
                return {self._name(): self.value(depth + 1) for _ in range(number)}
            case _:
                raise ValueError(f"The byte {first:#x} begins no plain value.")

    def _name(self) -> str:
        name = self.value(_DEEPEST)
        if not isinstance(name, str):
            raise TypeError(f"A {type(name).__name__} is the name of a member.")
        return name

    def _number(self, short: int) -> int:
        if short < 24:
            return short
        if short > 27:
            raise ValueError("It says nothing of its length.")
        return int.from_bytes(self._take(1 << short - 24))

    def _take(self, count: int) -> bytes:
        start, self.place = self.place, self.place + count
        if self.place > len(self.data):
            raise ValueError("The bytes end in the middle of a value.")
        return self.data[start : self.place]
