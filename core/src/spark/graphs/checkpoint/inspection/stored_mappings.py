"""Which keys of a mapping two records store differently: found by what they refer to, as far as that goes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint.encoding.decoder import raise_damaged
from spark.graphs.checkpoint.inspection.comparing import MISSING
from spark.graphs.checkpoint.inspection.comparing_trees import same_tree
from spark.graphs.checkpoint.inspection.raw import read_blobs
from spark.graphs.checkpoint.inspection.stored_tree import StoredTree, references_in
from spark.graphs.checkpoint.records.chunks import content_of, older_parts, values_of
from spark.graphs.checkpoint.serialization.reader import is_tag
from spark.graphs.concurrency.blocking import run_blocking

if TYPE_CHECKING:
    from spark.graphs.checkpoint.records.references import Reference
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

Pairs: TypeAlias = dict[str, tuple[Any, Any]]
"""By key, what two records store: trees, in which large values are references, or ``MISSING``."""
_SHARED: Final = object()
"""Stands for what a key has in the chunks that both records refer to."""


@dataclass(slots=True)
class _Side:
    """One of the two mappings."""

    stored: StoredTree
    chunks: list[Reference]
    """Oldest first."""
    rest: list[Any]
    """The parts that are in the record itself."""

    @classmethod
    def of(cls, stored: StoredTree, values: dict[str, Any]) -> _Side:
        content = content_of(values)
        if content is None:
            return cls(stored, [], [{"values": values}])
        chunks = [each for each in references_in(values) if each.holder is content.get("refs")]
        return cls(stored, chunks, [content[name] for name in ("tail", "apart") if name in content])

    async def overlay(self, backend: CheckpointBackend, *, shared: int) -> dict[str, Any]:
        """What is not in the first so many chunks; ``MISSING`` for a key that was removed."""
        own = self.chunks[shared:]
        await self.read(backend, own)
        parts = [await run_blocking(self.stored.large.value, each, self.stored.opened) for each in own]
        try:
            return values_of([*parts, *self.rest], MISSING)
        except CheckpointDamagedError as error:
            raise_damaged(self.stored.opened.header, str(error), cause=error)

    async def read(self, backend: CheckpointBackend, chunks: list[Reference]) -> None:
        names = [each.ref.name for each in chunks]
        await read_blobs(backend, self.stored, [name for name in names if name not in self.stored.large])


async def stored_differently(
    backend: CheckpointBackend, before: StoredTree | None, after: StoredTree, name: str, *, exactly: bool = True
) -> Pairs | None:
    """What two records store differently in one of their sections, or None where only the whole can tell.

    :param before: None for the beginning, when there was nothing.
    :param exactly: read shared chunks where that is what it takes to know what a key had before. If not, a key that one of them
        has written since is taken for different, and ``pairs`` are of no use but for their keys.
    :raises CheckpointDamagedError: a chunk is missing, or not what was written.
    """
    values: tuple[Any, Any] = {} if before is None else before.tree.get(name), after.tree.get(name)
    if same_tree(*values):
        return {}
    if not all(map(_is_keyed, values)):
        return None
    old, new = _Side.of(before or after, values[0]), _Side.of(after, values[1])
    pairs = zip(old.chunks, new.chunks, strict=False)
    shared = len([*takewhile(lambda pair: pair[0].ref == pair[1].ref, pairs)])
    overlays = await old.overlay(backend, shared=shared), await new.overlay(backend, shared=shared)
    absent = _SHARED if shared else MISSING
    found = {key: tuple(each.get(key, absent) for each in overlays) for key in {**overlays[0], **overlays[1]}}
    different = {key: pair for key, pair in found.items() if not same_tree(*pair)}
    return await _looked_up(backend, new, shared, different) if shared and exactly else different


async def _looked_up(backend: CheckpointBackend, side: _Side, shared: int, pairs: Pairs) -> Pairs:
    """The same with what is in shared chunks: the newest is read first, and no more than it takes."""
    unknown = {key for key, pair in pairs.items() if any(each is _SHARED for each in pair)}
    known: dict[str, Any] = {}
    for chunk in reversed(side.chunks[:shared]):
        if unknown <= known.keys():
            break
        await side.read(backend, [chunk])
        part = await run_blocking(side.stored.large.value, chunk, side.stored.opened)
        known = values_of([part], MISSING) | known
    whole = {
        key: tuple(known.get(key, MISSING) if each is _SHARED else each for each in pair) for key, pair in pairs.items()
    }
    return {key: pair for key, pair in whole.items() if not same_tree(*pair)}


def _is_keyed(values: Any) -> bool:
    return type(values) is dict and (content_of(values) is not None or not (is_tag(values) or older_parts(values)))
