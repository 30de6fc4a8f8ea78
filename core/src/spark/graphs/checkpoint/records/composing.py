"""A payload put together from pieces that are encoded already, in the syntax of mappings that a format declares.

A mapping is ``opening(count)``, the members with ``separator`` between them, and ``closing``; a member is ``key(name)`` and the
encoded value. So what did not change need not be encoded again, whoever wrote the format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Final, Self, TypeAlias

from spark.graphs.checkpoint.records.formats import Format


class EncodedItems(list["bytes | DeferredItem"]):
    """The members of a mapping, each as ``Composer.item`` makes it, and their total length. Never changed once it is made."""

    __slots__ = ("is_mixed", "size")

    size: int
    """The total length of all members, in bytes."""
    is_mixed: bool
    """Some of them are put together only when somebody reads them."""

    @classmethod
    def of(cls, items: Iterable[bytes | DeferredItem], *, size: int | None = None, is_mixed: bool = False) -> Self:
        """These members, in this order."""
        made = cls(items)
        made.size, made.is_mixed = sum(map(len, made)) if size is None else size, is_mixed
        return made


Encoded: TypeAlias = "EncodedItems | DeferredPayload | Gap | bytes"
"""A value of a mapping: as its bytes, as the members of a mapping, or as a mapping that is not put together yet. There are gaps
only in templates."""
Sections = Mapping[str, Encoded]
"""The values of a mapping by their names."""


class Composer:
    """Puts mappings together in the syntax of one format. May be used by several threads."""

    def __init__(self, format: Format) -> None:
        self._separator = format.separator
        self._closing = format.closing
        # The same few numbers and names come back in every checkpoint.
        self._opening = lru_cache(maxsize=1024)(format.opening)
        self._around = lru_cache(maxsize=1024)(partial(_around, format))
        self._key = lru_cache(maxsize=1024)(format.key)
        self._frame = lru_cache(maxsize=16)(partial(_frame, format))

    def item(self, name: str, value: bytes) -> bytes:
        """One member of a mapping, with the separator before it."""
        return self._separator + self._key(name) + value

    def compose(self, sections: Sections) -> bytes:
        """The bytes of a mapping."""
        # One join of everything: a payload may be long, and each copy of it costs more than the rest of this.
        pieces: list[bytes] = []
        self.add_pieces(pieces, sections)
        return b"".join(pieces)

    def template(self, sections: Sections) -> Template:
        """The same mapping again and again, with other members in the place of the ``Gap`` that is somewhere in it."""
        pieces: list[bytes] = []
        self.add_pieces(pieces, sections)
        gap = next(place for place, piece in enumerate(pieces) if piece is _GAP)
        return Template(b"".join(pieces[:gap]), b"".join(pieces[gap + 1 :]), len(self._separator))

    def add_pieces(self, pieces: list[bytes], sections: Sections) -> None:
        """Append the pieces that the bytes of a mapping are joined from."""
        opening, keys, _ = self._frame(tuple(sections))
        pieces.append(opening)
        for key, value in zip(keys, sections.values(), strict=True):
            pieces.append(key)
            if isinstance(value, bytes):
                pieces.append(value)
            elif isinstance(value, EncodedItems):
                self.add_members(pieces, value)
            else:
                value.add_pieces(pieces)
        pieces.append(self._closing)

    def size(self, sections: Sections) -> int:
        """The length of what ``compose`` returns, without composing it."""
        size = self._frame(tuple(sections))[2]
        for value in sections.values():
            size += len(value) if type(value) is not EncodedItems else self.size_of_members(value)
        return size

    def size_of_members(self, items: EncodedItems) -> int:
        """The length of the mapping that has these members."""
        return self._around(len(items)) + items.size

    def size_around(self, count: int) -> int:
        """The length of what stands around so many members."""
        return self._around(count)

    def add_gap(self, pieces: list[bytes], count: int) -> None:
        """Append the pieces of a mapping that has so many members, with one in the place of all of them."""
        pieces += (self._opening(count), _GAP, self._closing)

    def add_members(self, pieces: list[bytes], items: EncodedItems) -> None:
        """Append the pieces of the mapping that has these members."""
        pieces.append(self._opening(len(items)))
        first = len(pieces)
        if items.is_mixed:
            for item in items:
                item.add_pieces(pieces) if type(item) is DeferredItem else pieces.append(item)  # type: ignore[arg-type]
        else:
            pieces += items  # type: ignore[arg-type]
        if items:
            pieces[first] = pieces[first][len(self._separator) :]
        pieces.append(self._closing)


class Template:
    """A mapping of which some members have other values each time. What stands around them is put together once."""

    __slots__ = ("_after", "_before", "_separated")

    def __init__(self, before: bytes, after: bytes, separated: int) -> None:
        self._before = before
        self._after = after
        self._separated = separated
        """How many bytes separate two members."""

    def filled(self, items: Iterable[bytes]) -> bytes:
        """The bytes of the mapping with these members, each as ``Composer.item`` makes it: at least one."""
        return b"".join((self._before, b"".join(items)[self._separated :], self._after))


class Gap:
    """A mapping with so many members, which are put in by a ``Template``."""

    __slots__ = ("_composer", "_count")

    def __init__(self, composer: Composer, count: int) -> None:
        self._composer = composer
        self._count = count

    def __len__(self) -> int:
        return self._composer.size_around(self._count)

    def add_pieces(self, pieces: list[bytes]) -> None:
        """Append the pieces that its bytes are joined from."""
        self._composer.add_gap(pieces, self._count)


class DeferredPayload:
    """A mapping that is put together only when somebody reads it. What did not change, it shares with those before and after it.

    ``bytes(payload)`` is the mapping, and ``len(payload)`` its length, which is known without putting it together.
    """

    __slots__ = ("_composer", "_sections", "_size")

    def __init__(self, composer: Composer, sections: Sections) -> None:
        """Of ``sections``, nothing may be changed afterwards."""
        self._composer = composer
        self._sections = sections
        self._size = -1

    def __len__(self) -> int:
        if self._size < 0:
            self._size = self._composer.size(self._sections)
        return self._size

    def __bytes__(self) -> bytes:
        return self._composer.compose(self._sections)

    def add_pieces(self, pieces: list[bytes]) -> None:
        """Append the pieces that its bytes are joined from."""
        self._composer.add_pieces(pieces, self._sections)


class DeferredMembers:
    """A mapping of members, put together only when somebody reads it."""

    __slots__ = ("_composer", "_items")

    def __init__(self, composer: Composer, items: EncodedItems) -> None:
        self._composer = composer
        self._items = items

    def __len__(self) -> int:
        return self._composer.size_of_members(self._items)

    def add_pieces(self, pieces: list[bytes]) -> None:
        """Append the pieces that its bytes are joined from."""
        self._composer.add_members(pieces, self._items)


class DeferredItem:
    """A member of a mapping that is put together only when somebody reads it.

    :param head: what stands before the value: ``Composer.item`` of no value.
    """

    __slots__ = ("_body", "_head")

    def __init__(self, head: bytes, body: bytes | DeferredPayload | DeferredMembers) -> None:
        self._head = head
        self._body = body

    def __len__(self) -> int:
        return len(self._head) + len(self._body)

    def add_pieces(self, pieces: list[bytes]) -> None:
        """Append the pieces that its bytes are joined from."""
        pieces.append(self._head)
        pieces.append(self._body) if isinstance(self._body, bytes) else self._body.add_pieces(pieces)


_GAP: Final = bytes(bytearray(b"gap"))
"""Stands for the members of a gap. It is told by its identity."""


def _around(format: Format, count: int) -> int:
    """The length of what stands around so many items, of which the first comes without its separator."""
    return len(format.opening(count)) + len(format.closing) - (len(format.separator) if count else 0)


def _frame(format: Format, names: tuple[str, ...]) -> tuple[bytes, list[bytes], int]:
    """What stands before a mapping of these names, what before the value of each, and the total length around the values."""
    opening = format.opening(len(names))
    keys = [(format.separator if place else b"") + format.key(name) for place, name in enumerate(names)]
    return opening, keys, len(opening) + sum(map(len, keys)) + len(format.closing)
