"""A chunk of a mapping or a list, and what is asked of its items and of those who store it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from spark.graphs.checkpoint.encoding.places import Place

Key: TypeAlias = "str | Place"
"""A name; of a list's item, its place."""

_TOMBSTONE: Final = 8
"""About as many bytes are stored for a removed key, beside its name."""
NOT_ENCODED: Final = b""
"""In the place of an item of which only the key is known yet."""


class Apart(Protocol):
    """An item that may refer to blobs, so that it is never inside of one."""

    @property
    def is_pinned(self) -> bool:
        """It does refer to some."""

    def __len__(self) -> int: ...

    def names(self) -> Iterable[str]:
        """Those of the blobs that it refers to."""


Item: TypeAlias = "bytes | Apart"


class ChunkWriter(Protocol):
    """Stores chunks."""

    def expect(self, size: int, *, again: int) -> None:
        """Take the cost of so many bytes from the budget, of which so many have to be encoded again.

        :raises CostExceededError: that is too much for the event loop.
        """

    def item(self, key: Key) -> bytes:
        """An item, encoded again."""

    def store(
        self, items: Mapping[Key, bytes], *, places: Sequence[Place], removed: Sequence[Key]
    ) -> tuple[str, list[Any]]:
        """Store a chunk. Returns its name and what stands for it."""


class Chunk:
    """What is known of a chunk: all but its content."""

    __slots__ = ("dead", "live", "name", "ref", "removed", "sizes")

    def __init__(self, name: str, ref: list[Any], sizes: dict[Key, int]) -> None:
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
