"""A stored value as a page shows it: its type, a preview on one line, and what is inside, a page at a time.

Anybody may have written what is stored, so nothing here fails, whatever it is, and nothing is ever shown as a whole.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice, repeat
from typing import Any, Final

from spark.graphs.checkpoint import RawObject

LONGEST: Final = 160
"""Characters of a preview."""
WINDOW: Final = 4_000
"""Characters of a text that are shown at a time."""
PAGE: Final = 100
"""Items that are shown at a time."""
POSITION: Final = object()
INNER: Final = object()
_LARGEST_BITS: Final = 4_000
"""Python writes no larger number in decimal without being asked to."""
_FEW: Final = 8
"""Items that a preview looks at."""
_JOINED: Final = "[^\x00-\xff\u200c\u200d]"
_UNSEEN: Final = re.compile(rf"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})|[^ -~\u200c\u200d]")
_MANY: Final = (list, tuple, set, frozenset, deque)
_CONTAINERS: Final = (RawObject, Mapping, *_MANY)
_MOMENTS: Final = (datetime, date, time, timedelta)


@dataclass(frozen=True, slots=True)
class Shown:
    """One value on one line."""

    kind: str
    """``"text"``, ``"number"``, ``"flag"``, ``"nothing"``, ``"bytes"``, ``"moment"``, ``"mapping"``, ``"list"``, ``"object"`` or
    ``"other"``."""
    type: str
    """``"dict"``, ``"my_app:Order"``…"""
    preview: str
    size: str = ""
    """How much there is of it: ``"12 items"``, ``"4,096 bytes"``. Empty where the preview is all."""
    count: int = 0
    """How many children it has."""
    length: int = 0
    """Characters of a text of which the preview is only a part, or that has several lines."""


@dataclass(frozen=True, slots=True)
class Child:
    """What is in a value, under one key or at one position."""

    label: str
    """The key or the position as a page shows it."""
    step: str
    """The same as part of a path: ``".total"``, ``"[3]"``, ``"['my key']"``."""
    value: Any


def shown(value: Any) -> Shown:
    """The value on one line."""
    kind, type_name, count = kind_of(value), type_of(value), count_of(value)
    if isinstance(value, str):
        is_cut = len(value) > LONGEST or "\n" in value
        size = counted(len(value), "character") if is_cut else ""
        return Shown(kind, type_name, preview(value), size, length=len(value) if is_cut else 0)
    if isinstance(value, bytes | bytearray | memoryview):
        return Shown(kind, type_name, preview(value), counted(len(value), "byte"))
    noun = {"mapping": "key", "object": "field"}.get(kind, "item")
    return Shown(kind, type_name, preview(value), counted(count, noun) if is_container(value) else "", count)


def kind_of(value: Any) -> str:
    """What kind of value it is, by which a page chooses its looks."""
    if isinstance(value, RawObject):
        return "object"
    if value is None:
        return "nothing"
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "flag"),
        ((int, float, complex), "number"),
        (str, "text"),
        (Mapping, "mapping"),
        (_MANY, "list"),
        ((bytes, bytearray, memoryview), "bytes"),
        (_MOMENTS, "moment"),
    )
    return next((kind for types, kind in kinds if isinstance(value, types)), "other")


def type_of(value: Any) -> str:
    """The name of its type; of an object, the one that is stored."""
    return printable(str(value.type)) if isinstance(value, RawObject) else type(value).__name__


def is_container(value: Any) -> bool:
    """Whether there may be something in it."""
    return isinstance(value, _CONTAINERS)


def count_of(value: Any) -> int:
    """How many children it has."""
    inner = _inside(value)
    return len(inner) if isinstance(inner, Sized) and is_container(inner) else int(isinstance(value, RawObject))


def children(value: Any, start: int = 0, *, limit: int = PAGE) -> list[Child]:
    """What is in it from one place on, at most this many."""
    return list(islice(each_child(value, start), limit))


def child_at(value: Any, index: int) -> Child | None:
    """What is at one place; None when there is nothing."""
    return next(each_child(value, index), None) if index >= 0 else None


def each_child(value: Any, start: int = 0) -> Iterator[Child]:
    """What is in it, one by one, from one place on."""
    for place, (key, each) in enumerate(pairs(value, start), start):
        yield child_of(key, place, each)


def pairs(value: Any, start: int = 0) -> Iterator[tuple[Any, Any]]:
    """The same as keys and values, quicker; ``POSITION`` stands for the key where there is none, ``INNER`` in an object."""
    inner = _inside(value)
    if isinstance(inner, Mapping):
        return islice(inner.items(), start, None)
    if isinstance(inner, _MANY):
        return zip(repeat(POSITION), islice(inner, start, None), strict=False)
    return iter([(INNER, inner)] if isinstance(value, RawObject) and not start else [])


def child_of(key: Any, place: int, value: Any) -> Child:
    """One of them as a child, at this place."""
    if key is POSITION:
        return Child(f"{place:,}", f"[{place}]", value)
    return Child("value", ".value", value) if key is INNER else Child(_label(key), _step(key), value)


def window(text: str, start: int = 0, *, length: int = WINDOW) -> str:
    """A part of a long text, with everything that is neither printable nor a line break spelt out."""
    return "\n".join(printable(line).replace("\\t", "\t") for line in text[start : start + length].split("\n"))


def preview(value: Any, longest: int = LONGEST) -> str:
    """The beginning of a value, on one line."""
    text = _written(value, longest)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def printable(text: str) -> str:
    """The text with everything that is not printable spelt out as Python does: no mark reverses what is beside it.

    What joins letters or emoji, or keeps them apart, stays between two of them.
    """
    if text.isprintable():
        return text
    return _UNSEEN.sub(lambda match: _spelt(match[0]), text)


def _spelt(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def counted(count: int, noun: str) -> str:
    """``3 items``, ``1 item``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _inside(value: Any) -> Any:
    return value.value if isinstance(value, RawObject) else value


def _label(key: Any) -> str:
    return printable(key) if isinstance(key, str) and key else preview(key)


def _step(key: Any) -> str:
    is_plain = isinstance(key, str) and key.isidentifier()
    return f".{key}" if is_plain else f"[{key!r}]" if isinstance(key, str | int) else f"[{preview(key)}]"


def _written(value: Any, longest: int) -> str:
    if isinstance(value, str):
        return printable(value[: longest + 1])
    if isinstance(value, RawObject):
        name = type_of(value).rpartition(":")[2]
        return f"{name}({_fields(value.value, longest)})"
    if isinstance(value, Mapping):
        return (
            f"{{{_joined((f'{_quoted(key)}: {_nested(each)}' for key, each in value.items()), len(value), longest)}}}"
        )
    if isinstance(value, _MANY):
        opening, closing = (
            ("[", "]") if isinstance(value, list | deque) else ("(", ")") if isinstance(value, tuple) else "{}"
        )
        return f"{opening}{_joined(map(_nested, value), len(value), longest)}{closing}"
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value[:24]).hex(" ") + ("…" if len(value) > 24 else "")
    return _scalar(value)


def _scalar(value: Any) -> str:
    if type(value) is int and value.bit_length() > _LARGEST_BITS:
        return f"a whole number of {value.bit_length():,} bits"
    if isinstance(value, _MOMENTS):
        return str(value)
    try:
        return printable(repr(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _fields(value: Any, longest: int) -> str:
    if isinstance(value, Mapping):
        parts = (f"{_plain_key(key)}={_nested(each)}" for key, each in value.items())
        return _joined(parts, len(value), longest)
    return _nested(value)


def _plain_key(key: Any) -> str:
    return printable(key) if isinstance(key, str) else _nested(key)


def _nested(value: Any) -> str:
    """A value within another: containers only say how much is in them."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, RawObject):
        return f"{type_of(value).rpartition(':')[2]}(…)"
    if is_container(value):
        empty = {"dict": "{}", "list": "[]", "tuple": "()"}.get(type(value).__name__, "{}")
        brackets = f"{empty[0]}…{len(value):,}…{empty[1]}"
        return brackets if value else empty
    return preview(value, 60)


def _quoted(value: Any) -> str:
    if not isinstance(value, str):
        return _nested(value)
    cut = printable(value[:60])
    return f'"{cut}…"' if len(value) > 60 else f'"{cut}"'


def _joined(parts: Iterator[str], count: int, longest: int) -> str:
    taken: list[str] = []
    for part in islice(parts, _FEW):
        if sum(map(len, taken)) + len(part) > longest:
            break
        taken.append(part)
    more = count - len(taken)
    return ", ".join([*taken, f"… {more:,} more"] if more else taken)
