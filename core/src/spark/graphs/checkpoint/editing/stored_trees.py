"""Mappings and lists as a record holds them: keys are set and deleted, items are added, and no other value is read or written."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from spark.graphs.checkpoint.records.blobs import BlobRef
from spark.graphs.checkpoint.records.buffers import VALUE, buffered_parts
from spark.graphs.checkpoint.records.chunks import content_of, older_joined, older_parts, parts_of
from spark.graphs.checkpoint.records.references import is_reference

Place: TypeAlias = "int | float"
ReadBlob: TypeAlias = "Callable[[BlobRef], Awaitable[Any]]"
"""The tree that a large value was made of."""

_PAIRS: Final = "$dict"
"""The tag of a mapping whose only key looks like a tag itself."""


class StoredMapping:
    """A mapping of a payload's tree whose keys are texts: a section, or something in it.

    :param holder: what holds it in the tree,
    :param name: under this key.
    :param read: reads a large value.
    """

    def __init__(self, holder: dict[str, Any], name: str, read: ReadBlob) -> None:
        self._holder = holder
        self._name = name
        self._read = read
        self._plain: dict[str, Any] = {}
        self._chunks: _Chunks | None = None

    async def open(self) -> StoredMapping:
        """Itself, once it is known which keys there are.

        :raises CheckpointDamagedError: it is not what a run would write.
        """
        tree = self._holder.get(self._name) or {}
        if content_of(tree) is not None:
            self._chunks = await _Chunks(tree, self._read).open()
        elif older_parts(tree) is not None:
            self._plain = await _whole(tree, self._read)
        else:
            self._plain = dict(tree[_PAIRS]) if tree.keys() == {_PAIRS} else tree
        self._put_back()
        return self

    def __contains__(self, key: str) -> bool:
        return key in (self._plain if self._chunks is None else self._chunks.places)

    def keys(self) -> list[str]:
        """Its keys, in their order."""
        if self._chunks is None:
            return [*self._plain]
        places = self._chunks.places
        return sorted(places, key=places.__getitem__)

    async def value(self, key: str) -> Any:
        """The tree of a value as it stands there, which may be a reference to a large value.

        :raises KeyError: there is none.
        """
        return self._plain[key] if self._chunks is None else await self._chunks.value(key)

    def set(self, key: str, tree: Any) -> None:
        """Put a value there, in the place of the one that there is."""
        if self._chunks is not None:
            self._chunks.set(key, tree)
        else:
            self._plain[key] = tree
            self._put_back()

    def delete(self, key: str) -> None:
        """Remove a key, and its value.

        :raises KeyError: there is none.
        """
        if self._chunks is not None:
            self._chunks.delete(key)
        else:
            del self._plain[key]
            self._put_back()

    def _put_back(self) -> None:
        if self._chunks is None:
            plain = self._plain
            is_like_tag = len(plain) == 1 and next(iter(plain)).startswith("$")
            self._holder[self._name] = {_PAIRS: [[*pair] for pair in plain.items()]} if is_like_tag else plain


async def with_added(tree: Any, items: list[Any], read: ReadBlob) -> Any | None:
    """The tree of a list with more items at its end; None where the tree is something else.

    :param tree: as it stands in a payload. It is changed where it is in chunks.
    :param items: their trees.
    """
    if (ref := BlobRef.of(tree)) is not None:
        tree = await read(ref)
    elif (parts := buffered_parts(tree)) is not None:
        held = parts[0]
        held[VALUE] = await with_added(held[VALUE], items, read)
        return tree if held[VALUE] is not None else None
    elif (content := content_of(tree)) is not None:
        if content["kind"] != "list":
            return None
        chunks = await _Chunks(tree, read).open()
        for item in items:
            chunks.append(item)
        return tree
    return [*tree, *items] if type(tree) is list else None


async def _whole(tree: Any, read: ReadBlob) -> Any:
    """A mapping in the chunks of an older release, put together."""
    parts = older_parts(tree) or {}
    for number, part in parts.items():
        if ref := BlobRef.of(part):
            parts[number] = await read(ref)
    return older_joined(tree)


class _Chunks:
    """A mapping or a list that is kept in chunks. What changes goes into its tail."""

    def __init__(self, tree: dict[str, Any], read: ReadBlob) -> None:
        self._tree = tree
        self._content: dict[str, Any] = content_of(tree) or {}
        self._read = read
        self.places: dict[Any, Place] = {}
        """Key to place of all that is there; the keys of a list are places."""
        self._in_refs: set[Any] = set()
        """The keys of which a chunk has a copy, live or dead."""

    async def open(self) -> _Chunks:
        async for keys, removed, is_ref in self._parts():
            for key in removed:
                self.places.pop(key, None)
            self.places |= keys
            if is_ref:
                self._in_refs |= keys.keys()
        return self

    async def value(self, key: str) -> Any:
        """The tree of a value.

        :raises KeyError: there is none.
        """
        if key not in self.places:
            raise KeyError(key)
        found = None
        for part in [*self._refs(), self._content.get("tail"), self._content.get("apart")]:
            values = ((await self._read(part)) if isinstance(part, BlobRef) else part or {}).get("values", {})
            found = values.get(key, found)
        return found

    def append(self, tree: Any) -> None:
        """Add an item at the end of a list."""
        place = math.floor(max(self.places, default=-1)) + 1
        self.set(place, tree)

    def set(self, key: Any, tree: Any) -> None:
        """Put a value there, in the place of the one that there is, or else last."""
        last = math.floor(max(self.places.values(), default=-1)) + 1
        place = self.places[key] = self.places.get(key, last)
        self._drop_from("tail", key)
        self._drop_from("apart", key)
        self._put("apart" if is_reference(tree) else "tail", key, tree, place)

    def delete(self, key: Any) -> None:
        """Remove a key.

        :raises KeyError: there is none.
        """
        del self.places[key]
        self._drop_from("tail", key)
        self._drop_from("apart", key)
        if key in self._in_refs:
            tail = self._content.setdefault("tail", {"values": {}})
            tail["removed"] = [*tail.get("removed", []), str(key)]

    def _put(self, name: str, key: Any, tree: Any, place: Place) -> None:
        self._order_tail()
        part = self._content.setdefault(name, {"values": {}})
        part["values"][str(key)] = tree
        if self._content["kind"] == "mapping":
            part["places"] = [*part.get("places", []), place]

    def _order_tail(self) -> None:
        """Spell the places of the tail out, which it may lack as long as nothing is in chunks or apart."""
        for name in ("tail", "apart"):
            part = self._content.get(name)
            if part is not None and self._content["kind"] == "mapping":
                part["places"] = [self.places[key] for key in part["values"]]

    def _drop_from(self, name: str, key: Any) -> None:
        part = self._content.get(name)
        if part is None or str(key) not in part["values"]:
            return
        del part["values"][str(key)]
        if not part["values"] and not part.get("removed"):
            del self._content[name]
        self._order_tail()

    def _refs(self) -> list[BlobRef]:
        writer, codecs = self._content.get("writer", ""), tuple(self._content.get("codecs", []))
        return [BlobRef.of_compact(each, writer=writer, codecs=codecs) for each in self._content.get("refs", [])]

    async def _parts(self) -> AsyncIterator[tuple[dict[Any, Place], Iterable[Any], bool]]:
        """Of each part the keys with their places, and those that it removes; one chunk at a time is in memory."""
        kind = self._content["kind"]
        for ref in self._refs():
            read = {"kind": kind, "refs": [await self._read(ref)]}
            for keys, removed in parts_of(read):
                yield keys, removed, True
        own: dict[str, Any] = {name: self._content[name] for name in ("tail", "apart") if name in self._content}
        has_refs = bool(self._content.get("refs"))
        # A tail without places is only right where nothing else is there.
        for keys, removed in parts_of({"kind": kind, **({"refs": [{"values": {}}]} if has_refs else {}), **own}):
            yield keys, removed, False
