"""What a record has in chunks, taken over by the run that continues it: it has to write only what is new.

That is exact where the values that the run begins with are those that were read, of which an item that did not change is
the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark.graphs.checkpoint.encoding.cache import EncodingCache
from spark.graphs.checkpoint.encoding.chunk import NOT_ENCODED, Chunk
from spark.graphs.checkpoint.encoding.followed import Followed, FollowedList, FollowedMapping
from spark.graphs.checkpoint.model import SECTIONS
from spark.graphs.checkpoint.records.blobs import of_writer, writer_of
from spark.graphs.checkpoint.records.layout import Layout, Part


def adopt(layouts: Mapping[str, Layout], values: Mapping[str, Any], cache: EncodingCache) -> None:
    """Have a cache know what is stored. A section that does not fit its values is left out, and written anew.

    :param layouts: how sections are stored, by their names.
    :param values: what these were read as, as far as the run begins with that.
    """
    for name, layout in layouts.items():
        if name in values:
            section = SECTIONS[name]
            followed = FollowedMapping(name, cache, is_constant=section.is_constant, members=section.members)
            if _take_over(followed, layout, values[name], cache, is_constant=section.is_constant):
                cache.sections[name] = followed


def _take_over(followed: Followed, layout: Layout, values: Any, cache: EncodingCache, *, is_constant: bool) -> bool:
    """Begin to follow these values, which are stored so; False where they can't be."""
    chunked = followed.chunked
    for ref, part in layout.chunks:
        chunk = Chunk(ref.name, of_writer(ref.compact(), writer_of(ref.name)), _sizes(part, ref.raw_size))
        chunked.adopt(chunk, places=[*part.keys.values()], removed=part.removed)
    chunked.adopt_tail(layout.tail.keys, removed=layout.tail.removed, rent=layout.rent)
    if not followed.start_at(values):
        return False
    for key, nested in layout.nested.items():
        kind = FollowedList if nested.is_list else FollowedMapping
        inner = kind(followed.path_to(key), cache, is_constant=is_constant)
        if _take_over(inner, nested, values[key], cache, is_constant=is_constant):
            chunked.put(key, inner)
    chunked.hot.clear()
    if NOT_ENCODED in chunked.tail.values():
        cache.incomplete.append(followed)
    return True


def _sizes(part: Part, size: int) -> dict[Any, int]:
    """Key to bytes, of the items of a chunk. Only how many they are together is known, and nothing depends on more."""
    return dict.fromkeys(part.keys, max(1, size // max(1, len(part.keys))))
