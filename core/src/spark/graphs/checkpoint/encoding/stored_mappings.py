"""What stands in a payload for a mapping or a list: its members, or its chunks and what is not in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from spark.graphs.checkpoint.encoding.chunk import Apart, Key, TailTemplate
from spark.graphs.checkpoint.encoding.chunked import ChunkedMapping
from spark.graphs.checkpoint.encoding.followed import Followed
from spark.graphs.checkpoint.encoding.places import Place, runs
from spark.graphs.checkpoint.records.chunks import TAG
from spark.graphs.checkpoint.records.composing import (
    Composer,
    DeferredItem,
    DeferredMembers,
    DeferredPayload,
    Encoded,
    EncodedItems,
    Gap,
)

_FEW_BYTES: Final = 4096
"""Less is put together at once, which costs less than to keep the pieces."""


class StoredMappings:
    """Puts together what is stored for mappings and lists.

    :param dump: makes bytes of trees, given what errors call them.
    :param shared: what is written once beside references to chunks.
    """

    def __init__(self, composer: Composer, dump: Callable[[Any, str], bytes], *, shared: Mapping[str, Any]) -> None:
        self._composer = composer
        self._dump = dump
        self._shared = shared
        self.none: bytes = composer.compose({})
        """A mapping without members."""

    def section(self, followed: Followed) -> Encoded:
        chunked = followed.chunked
        return self._in_chunks(followed) if chunked.chunks else self._plain(chunked)

    def _plain(self, chunked: ChunkedMapping) -> EncodedItems:
        """The members of a mapping without chunks."""
        if not chunked.apart:
            return EncodedItems.of(chunked.tail.values(), size=chunked.size)  # type: ignore[arg-type]
        members = (self._member(key, item) for key, item in chunked.tail.items())  # type: ignore[arg-type]
        return EncodedItems.of(members, is_mixed=True)

    def _composed(self, followed: Followed) -> DeferredMembers | DeferredPayload | bytes:
        """A nested mapping or list; it may have chunks."""
        chunked = followed.chunked
        if chunked.chunks or chunked.apart or chunked.is_list:
            return self._in_chunks(followed)
        return DeferredMembers(self._composer, self._plain(chunked))

    def _in_chunks(self, followed: Followed) -> DeferredPayload | bytes:
        chunked = followed.chunked
        if (template := chunked.template) is not None and _fits(chunked, template):
            return template.payload.filled(map(chunked.tail.__getitem__, template.keys))  # type: ignore[arg-type]
        chunked.template = None
        if chunked.head is None:
            chunked.head = self._head(followed)
        members: list[bytes | DeferredItem] = [*chunked.head]
        if chunked.rent:
            members.append(self._composer.item("rent", self._dump(chunked.rent, "")))
        keys = chunked.in_order(chunked.tail)
        if chunked.apart or chunked.removed_in_tail or not 0 < chunked.size < _FEW_BYTES:
            return self._payload([*members, *self._parts(chunked, keys)])
        chunked.template = self._template(members, chunked, keys)
        return chunked.template.payload.filled(map(chunked.tail.__getitem__, keys))  # type: ignore[arg-type]

    def _payload(self, members: Iterable[bytes | DeferredItem]) -> DeferredPayload:
        return DeferredPayload(self._composer, {TAG: EncodedItems.of(members, is_mixed=True)})

    def _template(
        self, members: Iterable[bytes | DeferredItem], chunked: ChunkedMapping, keys: Sequence[Key]
    ) -> TailTemplate:
        """What is stored, but for the items with these keys: in the next checkpoints, often only their values are others."""
        assert chunked.head is not None
        composer = self._composer
        tail = self.part(Gap(composer, len(keys)), chunked.places_of(keys), ())
        tail_member = DeferredItem(composer.item("tail", b""), DeferredPayload(composer, tail))
        payload = composer.template({TAG: EncodedItems.of([*members, tail_member], is_mixed=True)})
        return TailTemplate(chunked.head, chunked.rent, dict.fromkeys(keys), payload)

    def _parts(self, chunked: ChunkedMapping, keys: Sequence[Key]) -> Iterator[DeferredItem]:
        """The tail, and what is apart, of a mapping with items or removed keys in its tail.

        :param keys: those of the items, in order.
        """
        tail, apart, composer = chunked.tail, chunked.apart, self._composer
        in_tail = [key for key in keys if key not in apart] if apart else keys
        if in_tail or chunked.removed_in_tail:
            items = EncodedItems.of(map(tail.__getitem__, in_tail), size=chunked.size)  # type: ignore[arg-type]
            content = self.part(items, chunked.places_of(in_tail), [*chunked.removed_in_tail])
            yield DeferredItem(composer.item("tail", b""), DeferredPayload(composer, content))
        if apart:
            in_order = [key for key in keys if key in apart]
            items = EncodedItems.of([self._member(key, apart[key]) for key in in_order], is_mixed=True)
            content = self.part(items, chunked.places_of(in_order), ())
            yield DeferredItem(composer.item("apart", b""), DeferredPayload(composer, content))

    def _head(self, followed: Followed) -> list[bytes]:
        """What stands before the items: it is the same until there is another chunk."""
        head: dict[str, Any] = {"kind": "list" if followed.is_list else "mapping"}
        if followed.chunked.chunks:
            head |= self._shared
            head["refs"] = [chunk.ref for chunk in followed.chunked.chunks.values()]
        return [self._composer.item(name, self._dump(value, "")) for name, value in head.items()]

    def part(self, items: EncodedItems | Gap, places: Sequence[Place], removed: Sequence[Key]) -> dict[str, Encoded]:
        """A part of a mapping as it is stored: a chunk, or the tail."""
        part: dict[str, Encoded] = {"values": items}
        if places:
            part["places"] = self._dump(runs(places), "")
        if removed:
            part["removed"] = self._dump([*map(str, removed)], "")
        return part

    def _member(self, key: Key, item: bytes | Apart) -> Any:
        if type(item) is bytes:
            return item
        body = self._composed(item) if isinstance(item, Followed) else item.data  # type: ignore[union-attr]
        return DeferredItem(self._composer.item(key if type(key) is str else str(key), b""), body)


def _fits(chunked: ChunkedMapping, template: TailTemplate) -> bool:
    """Whether only values in the tail have changed since a template was made."""
    is_same = template.head is chunked.head and template.rent == chunked.rent and not chunked.apart
    return is_same and template.keys.keys() == chunked.tail.keys()
