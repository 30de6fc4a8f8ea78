"""A mapping or a list as it is stored: a *tail* that each checkpoint writes again, and chunks that are never written again.

Every item has a place, a number that orders it, so chunks can be merged and dropped in any order. Of several copies of an item,
the latest counts: that in the tail, or in the last chunk. A removed key is remembered as long as a chunk holds a dead copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import chain

from spark.graphs.checkpoint.encoding.chunk import (
    NOT_ENCODED,
    Apart,
    Chunk,
    ChunkWriter,
    Item,
    Key,
    ListOwners,
    TailTemplate,
    Unkept,
    groups_of,
    merged_with,
    size_of_removed,
)
from spark.graphs.checkpoint.encoding.levels import (
    Thresholds,
    is_bought_at_once,
    is_flush_due,
    is_large,
    least,
    limit,
)
from spark.graphs.checkpoint.encoding.places import Place


class ChunkedMapping:
    """The encoded items of a mapping or a list, in its tail and in chunks.

    :param is_list: keys are places.
    :param retired: gets the names of blobs that are no longer referred to.
    :param is_constant: what is in there won't change.
    """

    __slots__ = (
        "_dead_copies",
        "_is_constant",
        "_next_place",
        "_owners",
        "_places",
        "_removed",
        "_removed_size",
        "_retired",
        "_thresholds",
        "apart",
        "chunks",
        "head",
        "hot",
        "is_growing",
        "is_list",
        "removed_in_tail",
        "rent",
        "size",
        "tail",
        "template",
        "unkept",
    )

    def __init__(
        self,
        thresholds: Thresholds,
        *,
        is_list: bool,
        retired: Callable[[Iterable[str]], None],
        is_constant: bool = False,
    ) -> None:
        self._thresholds = thresholds
        self._retired = retired
        self._is_constant = is_constant
        self.is_list = is_list
        self.is_growing = False
        """Of a list: all that has changed since the last checkpoint was appended."""
        self.tail: dict[Key, Item] = {}
        """The items that are not in chunks; without any chunk, in their order."""
        self.apart: dict[Key, Apart] = {}
        """Those of them that may refer to blobs."""
        self.size = 0
        """The bytes of the other items in the tail."""
        self.unkept = 0
        """The bytes of those that have to be encoded again."""
        self.chunks: dict[str, Chunk] = {}
        """By name, in the order in which they were made."""
        self.head: list[bytes] | None = None
        """What stands for all of them in the payload; None until that is encoded."""
        self.template: TailTemplate | None = None
        """The payload without the items in the tail, as long as these are of the same keys."""
        self._owners: MutableMapping[Key, Chunk] = ListOwners() if is_list else {}
        """Key to the chunk that has the item, where one has."""
        self._places: dict[Key, Place] = {}
        """Key to place, in a mapping that has chunks."""
        self._next_place = 0
        self._dead_copies: dict[Key, int] = {}
        """Key to the number of its copies in chunks that don't count, where there are any."""
        self._removed: dict[Key, Chunk | None] = {}
        """Removed keys with dead copies, each with the chunk that remembers it; None for the tail."""
        self.removed_in_tail: dict[Key, None] = {}
        """Those that the tail remembers,"""
        self._removed_size = 0
        """and about how many bytes that takes."""
        self.hot: set[Key] = set()
        """What was put or removed since the last checkpoint."""
        self.rent = 0
        """How many bytes of the tail were written again since it was last emptied."""

    def __contains__(self, key: Key) -> bool:
        return key in self.tail or key in self._owners

    @property
    def count(self) -> int:
        """How many items there are."""
        return len(self.tail) + len(self._owners)

    def keys(self) -> list[Key]:
        """Those of all items, in no order."""
        return [*self._owners, *self.tail]

    @property
    def total(self) -> int:
        """The bytes of all items."""
        in_tail = self.size + self.unkept + sum(map(len, self.apart.values()))
        return in_tail + sum(chunk.live for chunk in self.chunks.values())

    def put(self, key: Key, item: Item, *, place: Place | None = None) -> None:
        """Set an item. A new one comes last.

        :param place: where it belongs, if that is somewhere else; in a mapping only once it has chunks.
        """
        before = self.tail.get(key)
        if before is not None:
            self._give_up(key, before, item)
        if place is not None and not self.is_list:
            self.move(key, place)
        elif before is None and self._places and key not in self._owners:
            self._places[key] = self._next_place
            self._next_place += 1
        self.tail[key] = item
        if type(item) is bytes:
            self.size += len(item)
        elif type(item) is Unkept:
            self.unkept += len(item)
        else:
            self.apart[key] = item  # type: ignore[assignment]
        self.hot.add(key)
        if before is None:
            self._leave_chunks(key)

    def replace(self, key: Key, item: bytes) -> None:
        """The same for an item in the place of one in the tail, both of them bytes."""
        self.size += len(item) - len(self.tail[key])
        self.tail[key] = item
        self.hot.add(key)

    def remove(self, key: Key) -> None:
        """Remove an item.

        :raises KeyError: there is none.
        """
        self.template = None
        self._give_up(key, self.tail.pop(key, None), None)
        self._places.pop(key, None)
        self.hot.discard(key)
        if key in self._dead_copies:
            self._removed[key] = None
            self.removed_in_tail[key] = None
            self._removed_size += size_of_removed(key)
            self.hot.add(key)

    @property
    def is_idle(self) -> bool:
        """There is nothing to do for a checkpoint: all that is in the tail would not be worth a chunk."""
        if self.apart or self.removed_in_tail or self.unkept:
            return False
        return self.size < least(self._thresholds, is_constant=self._is_constant, is_growing=self.is_growing)

    def place(self, key: Key) -> Place | None:
        """The place of an item; None in a mapping without chunks, whose tail is in order."""
        return key if self.is_list else self._places.get(key)  # type: ignore[return-value]

    def reorder(self, keys: Iterable[Key]) -> None:
        """Bring the items of a mapping without chunks into this order."""
        self.tail = {key: self.tail[key] for key in keys}
        self._places.clear()

    def move(self, key: Key, place: Place) -> None:
        """Give an item of a mapping another place. It has to be in the tail."""
        self.template = None
        self._places[key] = place
        self._next_place = max(self._next_place, math.floor(place) + 1)

    def adopt(self, chunk: Chunk, *, places: Sequence[Place], removed: Iterable[Key]) -> None:
        """Take over a chunk that is stored already, the newest so far, before there is anything in the tail.

        :param places: those of its items; not needed of a list.
        :param removed: the keys that it says were removed.
        """
        self.chunks[chunk.name] = chunk
        self.head = None
        for key in removed:
            if key in self:
                self.remove(key)
            if key in self._removed:
                self._remember(key, chunk)
        for key in [key for key in chunk.sizes if key in self._owners or key in self._removed]:
            self._leave_chunks(key)
        self._owners.update(dict.fromkeys(chunk.sizes, chunk))
        if not self.is_list:
            self._places.update(zip(chunk.sizes, places, strict=True))

    def adopt_tail(self, keys: Mapping[Key, Place], *, removed: Iterable[Key], rent: int) -> None:
        """Take over the tail that belongs to these chunks, of which the items are still to be encoded.

        :param keys: key to place, in their order.
        :param rent: how many bytes of it were written again since it was last emptied.
        """
        for key in removed:
            if key in self:
                self.remove(key)
        if self._places:
            self._next_place = max(math.floor(place) for place in (*self._places.values(), *keys.values())) + 1
        for key, place in keys.items():
            self.put(key, NOT_ENCODED, place=place if self.chunks else None)
        self.rent = rent
        self.hot.clear()

    def names(self) -> Iterator[str]:
        """The blobs that it refers to."""
        return chain(self.chunks, *(each.names() for each in self.apart.values()))

    # Checkpoints.

    def flush(self, writer: ChunkWriter) -> Iterator[None]:
        """Put into chunks what belongs there now: each iteration stores one. Wherever it fails or stops, all is consistent.

        :raises CostExceededError: that is too much for the event loop. Nothing was stored.
        """
        thresholds, hot = self._thresholds, self._hot_items()
        large = {key: size for key, size in hot.items() if is_large(thresholds, size)}
        rest = {key: size for key, size in hot.items() if key not in large} if large else hot
        left = math.inf if self.unkept else sum(rest.values())
        is_hot_due = is_bought_at_once(thresholds, left, is_constant=self._is_constant, is_growing=self.is_growing)
        cold = self._cold_size(sum(hot.values()))
        is_cold_due = is_flush_due(thresholds, cold=cold, rent=self.rent)
        if not (large or is_hot_due or is_cold_due):
            return
        if not self._places and not self.is_list:  # now that there are going to be chunks
            self._places = {key: number for number, key in enumerate(self.tail)}
            self._next_place = len(self._places)
        most = limit(thresholds, self.total)
        old = merged_with(thresholds, self.chunks.values(), written=cold if is_cold_due else 0, most=most)
        sizes = self._cold_items() if is_cold_due else {}
        for chunk in old:
            sizes |= {key: size for key, size in chunk.sizes.items() if self._owners.get(key) is chunk}
        cold_removed = [key for key in self.removed_in_tail if key not in self.hot] if is_cold_due else ()
        removed = self._still_needed(old, cold_removed)
        groups = [*groups_of(self.in_order(sizes), sizes, most=most), *([key] for key in large)]
        if is_hot_due:
            groups += groups_of(self.in_order(rest), rest, most=most)
        again = sum(sizes[key] for key in sizes if key in self._owners)
        writer.expect(sum(sizes.values()) + sum(hot.values()), again=again)
        if removed and not sizes:
            groups.insert(0, [])
        for group in groups:
            self._write(group, removed, writer)
            removed = []
            yield
        for chunk in old:
            self._drop(chunk)
        if is_cold_due:
            self.rent = 0

    def settle(self) -> None:
        """A checkpoint was made of what it is now."""
        if not self.is_idle:
            self.rent += self._cold_size(sum(self._hot_items().values()))
        self.hot.clear()
        self.is_growing = False

    def places_of(self, keys: Iterable[Key]) -> list[Place]:
        """The places of these keys, as they are stored; of a list, whose keys say it themselves, none."""
        if self.is_list:
            return []
        places = self._places or {key: number for number, key in enumerate(self.tail)}
        return [places[key] for key in keys]

    def in_order(self, keys: Iterable[Key]) -> list[Key]:
        """These keys, in the order of their places."""
        return sorted(keys, key=self._places.__getitem__) if self._places else sorted(keys) if self.is_list else [*keys]

    # What is hot, and what is cold.

    def _hot_items(self) -> dict[Key, int]:
        """What changed since the last checkpoint and could be in a chunk: key to bytes."""
        tail = self.tail
        return {key: len(item) for key in self.hot if type(item := tail.get(key)) is bytes or type(item) is Unkept}

    def _cold_items(self) -> dict[Key, int]:
        return {
            key: len(item)
            for key, item in self.tail.items()
            if key not in self.hot and (type(item) is bytes or not item.is_pinned)  # type: ignore[union-attr]
        }

    def _cold_size(self, hot: int) -> int:
        cold = self.size + self.unkept - hot
        if self.apart:
            cold += sum(len(each) for key, each in self.apart.items() if key not in self.hot and not each.is_pinned)
        if self.removed_in_tail:
            cold += self._removed_size - sum(size_of_removed(key) for key in self.hot if key in self.removed_in_tail)
        return cold

    # Chunks.

    def _write(self, keys: Sequence[Key], removed: Sequence[Key], writer: ChunkWriter) -> None:
        """Make a chunk of these items, which are in the tail or in older chunks."""
        items: dict[Key, bytes] = {}
        for key in keys:
            item = self.tail.get(key)
            items[key] = item if type(item) is bytes else writer.item(key)
        places = [] if self.is_list else [self._places[key] for key in keys]
        name, ref = writer.store(items, places=places, removed=removed)
        chunk = Chunk.of(name, ref, items, is_list=self.is_list)
        self.chunks[name] = chunk
        self.head = None
        for key in keys:
            self._move_to(chunk, key)
        for key in removed:
            self._remember(key, chunk)

    def _move_to(self, chunk: Chunk, key: Key) -> None:
        self._give_up(key, self.tail.pop(key, None), None)
        self._owners[key] = chunk

    def _remember(self, key: Key, chunk: Chunk) -> None:
        """From now on, this chunk says that the key was removed."""
        self._forget_removed(key)
        self._removed[key] = chunk
        chunk.removed[key] = None
        chunk.live += size_of_removed(key)

    def _forget_removed(self, key: Key) -> None:
        chunk, size = self._removed.pop(key), size_of_removed(key)
        if chunk is None:
            del self.removed_in_tail[key]
            self._removed_size -= size
            return
        del chunk.removed[key]
        chunk.live -= size
        chunk.dead += size

    def _leave_chunks(self, key: Key) -> None:
        """An item was put into the tail, so no chunk says what it is any more."""
        if key in self._owners:
            self._kill(key)
        elif key in self._removed:
            chunk = self._removed[key]
            self._forget_removed(key)
            if chunk is not None and not chunk.live:
                self._drop(chunk)

    def _kill(self, key: Key) -> None:
        """The copy that a chunk has does not count any more."""
        chunk = self._owners.pop(key)
        size = chunk.sizes[key]
        chunk.live -= size
        chunk.dead += size
        self._dead_copies[key] = self._dead_copies.get(key, 0) + 1
        if not chunk.live:
            self._drop(chunk)

    def _drop(self, chunk: Chunk) -> None:
        """Give up a chunk that nothing is needed of any more."""
        if self.chunks.pop(chunk.name, None) is None:
            return
        self.head = None
        self._retired((chunk.name,))
        emptied: list[Chunk] = []
        for key in chunk.sizes:
            if self._dead_copies[key] > 1:
                self._dead_copies[key] -= 1
                continue
            del self._dead_copies[key]
            if key in self._removed:
                holder = self._removed[key]
                self._forget_removed(key)
                if holder is not None and not holder.live:
                    emptied.append(holder)
        for each in emptied:
            self._drop(each)
        if not self.chunks and self._places:
            self.tail = {key: self.tail[key] for key in self.in_order(self.tail)}
            self._places.clear()

    def _still_needed(self, old: Sequence[Chunk], removed: Iterable[Key]) -> list[Key]:
        """The removed keys that have to be remembered when these chunks are gone."""
        keys = [*removed, *(key for chunk in old for key in chunk.removed)]
        return [key for key in keys if self._dead_copies[key] > sum(key in chunk.sizes for chunk in old)]

    def _give_up(self, key: Key, item: Item | None, successor: Item | None) -> None:
        """An item does not count any more: that of the tail, and else that of a chunk."""
        if item is None:
            self._kill(key)
        elif type(item) is bytes:
            self.size -= len(item)
        elif type(item) is Unkept:
            self.unkept -= len(item)
        elif self.apart.pop(key) is not successor:
            self._retired(item.names())  # type: ignore[union-attr]
