"""One chunk of a mapping or a list."""

from __future__ import annotations

from typing import Final, TypeAlias

from spark.graphs.checkpoint.encoding.places import Place

Key: TypeAlias = "str | Place"
"""A name; of a list's item, its place."""

_TOMBSTONE: Final = 8
"""About as many bytes are stored for a removed key, beside its name."""


class Chunk:
    """What is known of a chunk: all but its content."""

    __slots__ = ("dead", "live", "name", "ref", "removed", "sizes")

    def __init__(self, name: str, ref: object, sizes: dict[Key, int]) -> None:
        self.name = name
        self.ref = ref
        """What stands for it in the payload."""
        self.sizes = sizes
        """Key to the bytes of the item, of all that it holds."""
        self.removed: dict[Key, None] = {}
        """The removed keys that it remembers and nothing else does."""
        self.live = sum(sizes.values())
        self.dead = 0


def size_of_removed(key: Key) -> int:
    """About how many bytes are stored for a removed key that is remembered."""
    return len(str(key)) + _TOMBSTONE
