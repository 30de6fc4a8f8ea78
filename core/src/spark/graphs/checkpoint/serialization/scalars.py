"""The scalars that JSON has no words for, each with its tag: ``Decimal("1.10")`` ↔ ``{"$decimal": "1.10"}``.

These bytes are public API: a tag's content never changes its meaning. A new meaning is a new tag.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import gcd
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final
from uuid import UUID, SafeUUID

from spark.graphs.checkpoint.serialization.unsaveable import Unsaveable

PLAIN_INT_LIMIT: Final = 2**63
"""Integers below this in size are written as numbers; every JSON reader with 64-bit integers takes them."""

_LONG: Final = 4096
"""Bits of a number with which arithmetic takes its time."""


def write_text(value: str) -> Any:
    """A string as itself, unless it holds lone surrogates, which UTF-8 can't encode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"$str": value.encode("utf-8", "surrogatepass").hex()}
    return value


def write_int(value: int) -> Any:
    """An integer as itself, or in hex, which has no limit of digits in Python and none of size in JSON."""
    return value if -PLAIN_INT_LIMIT < value < PLAIN_INT_LIMIT else {"$int": hex(value)}


def read_int(tree: Any) -> int:
    """An integer that ``write_int`` was given."""
    if type(tree) is dict and tree.keys() == {"$int"}:
        return int(tree["$int"], 16)
    if type(tree) is not int:
        raise TypeError(f"an integer was expected, not {type(tree).__name__}")
    return tree


def write_float(value: float) -> Any:
    """A float as itself, unless it is one that JSON lacks."""
    return value if value - value == 0 else {"$float": repr(value)}


def _write_complex(value: complex) -> Any:
    return {"$complex": [write_float(value.real), write_float(value.imag)]}


def _read_complex(content: Any) -> complex:
    real, imaginary = content
    return complex(_read_part(real), _read_part(imaginary))


def _read_part(tree: Any) -> float:
    return _read_float(tree["$float"]) if isinstance(tree, dict) else float(tree)


def _read_float(content: Any) -> float:
    return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[content]


def read_name(tree: Any) -> str:
    """A string that ``write_text`` was given."""
    return _read_text(tree["$str"]) if isinstance(tree, dict) else str(tree)


def _read_text(content: Any) -> str:
    return bytes.fromhex(content).decode("utf-8", "surrogatepass")


def _read_fraction(content: Any) -> Fraction:
    numerator, denominator = map(read_int, content)
    # A fraction is stored in lowest terms, and to look for a common divisor of long numbers takes long.
    if denominator < 1 or (denominator.bit_length() < _LONG and gcd(numerator, denominator) != 1):
        raise ValueError("it is not a fraction in lowest terms")
    return _fraction(numerator, denominator)


def _fraction(numerator: int, denominator: int) -> Fraction:
    value = object.__new__(Fraction)
    value._numerator, value._denominator = numerator, denominator  # type: ignore[attr-defined]
    return value


def _writes_path(tag: str) -> Callable[[Any], Any]:
    return lambda value: {tag: write_text(_path_text(value))}


def _path_text(path: PurePath) -> str:
    # Half of a Windows share, such as //a/, reads as another path than it was made from.
    if type(path)(str(path)) != path:
        raise Unsaveable("it is a path that can't be made again from its text. Store str(path).")
    return str(path)


def _writes_text(tag: str) -> Callable[[Any], Any]:
    return lambda value: {tag: str(value)}


def _write_uuid(value: UUID) -> Any:
    # What ``uuid1`` knows of how it was made is no part of its text, nor of what ``==`` compares.
    return (
        {"$uuid": str(value)} if value.is_safe is SafeUUID.unknown else {"$madeuuid": [str(value), value.is_safe.value]}
    )


def _read_made_uuid(content: Any) -> UUID:
    text, is_safe = content
    return UUID(text, is_safe=SafeUUID(is_safe))


SCALAR_WRITERS: Final[dict[type, Callable[[Any], Any]]] = {
    complex: _write_complex,
    Decimal: _writes_text("$decimal"),
    Fraction: lambda value: {"$fraction": [write_int(value.numerator), write_int(value.denominator)]},
    UUID: _write_uuid,
    type(Path()): _writes_path("$path"),
    PurePosixPath: _writes_path("$pureposixpath"),
    PureWindowsPath: _writes_path("$purewindowspath"),
}
"""Exact type → the function that makes its tag. The deepest tag takes three levels of nesting."""

SCALAR_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$str": _read_text,
    "$int": lambda content: int(content, 16),
    "$float": _read_float,
    "$complex": _read_complex,
    "$decimal": Decimal,
    "$fraction": _read_fraction,
    "$uuid": UUID,
    "$madeuuid": _read_made_uuid,
    "$path": lambda content: Path(read_name(content)),
    "$pureposixpath": lambda content: PurePosixPath(read_name(content)),
    "$purewindowspath": lambda content: PureWindowsPath(read_name(content)),
}
"""Tag → the function that turns its content back. They raise whatever Python raises when the content is wrong."""
