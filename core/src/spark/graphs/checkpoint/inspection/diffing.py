"""What differs between two checkpoints, section by section: those in memory, and those in a store, of which little is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from spark.graphs.checkpoint.inspection.comparing import MISSING, compare
from spark.graphs.checkpoint.inspection.comparing_trees import compare_trees
from spark.graphs.checkpoint.inspection.pending import compare_pending
from spark.graphs.checkpoint.inspection.raw import read_blobs, read_section
from spark.graphs.checkpoint.inspection.stored_mappings import Pairs, stored_differently
from spark.graphs.checkpoint.model import SECTIONS, GraphCheckpoint
from spark.graphs.checkpoint.serialization.raw_reader import RawReader
from spark.graphs.concurrency.blocking import run_blocking
from spark.graphs.values.paths import key_step

if TYPE_CHECKING:
    from spark.graphs.checkpoint.inspection.difference import Difference
    from spark.graphs.checkpoint.inspection.stored_tree import StoredTree
    from spark.graphs.checkpoint.storage.backend import CheckpointBackend

_METADATA: Final = "execution_metadata"
_PENDING: Final = "frontier"
_FACTS: Final = ("iteration", "last_node", "reason", "error", "metadata", "metrics")
"""What of the metadata says how far a run has come. All else in there serves the library."""


def differences(before: GraphCheckpoint, after: GraphCheckpoint) -> list[Difference]:
    """What has to change in the first checkpoint to make it the second."""
    found = [each for name in SECTIONS for each in _compare_section(name, getattr(before, name), getattr(after, name))]
    return [*found, *compare("version", before.version, after.version)]


async def stored_differences(backend: CheckpointBackend, before: StoredTree, after: StoredTree) -> list[Difference]:
    """The same of two records. What both refer to is the same, and is not read.

    :raises CheckpointDamagedError: a chunk is missing, or not what was written.
    """
    found: list[Difference] = []
    for name in SECTIONS:
        pairs = await stored_differently(backend, before, after, name) if SECTIONS[name].is_keyed else None
        if pairs is None:
            found += await _compare_whole(backend, name, before, after)
        elif pairs:
            found += await _compare_pairs(backend, name, pairs, before, after)
    return [*found, *compare("version", before.opened.header.version, after.opened.header.version)]


async def _compare_pairs(
    backend: CheckpointBackend, name: str, pairs: Pairs, before: StoredTree, after: StoredTree
) -> list[Difference]:
    for stored, trees in ((before, [old for old, _ in pairs.values()]), (after, [new for _, new in pairs.values()])):
        names = [each for tree in trees for each in stored.missing(tree)]
        await read_blobs(backend, stored, names)
    reader = RawReader(limits=backend.record_codec.limits)

    def compared() -> list[Difference]:
        return [
            difference
            for key, (old, new) in pairs.items()
            for path in [name + f"[{key!r}]"]
            for difference in compare_trees(path, _whole(before, old, path), _whole(after, new, path), reader)
        ]

    return await run_blocking(compared)


def _whole(stored: StoredTree, tree: Any, path: str) -> Any:
    return tree if tree is MISSING else stored.value(tree, path)


async def _compare_whole(
    backend: CheckpointBackend, name: str, before: StoredTree, after: StoredTree
) -> list[Difference]:
    sides = before, after
    for stored in sides:
        await read_blobs(backend, stored, stored.missing_in(name))
    reader = RawReader(limits=backend.record_codec.limits)

    def compared() -> list[Difference]:
        return [*_compare_section(name, *(read_section(stored, name, reader) for stored in sides))]

    return await run_blocking(compared)


def _compare_section(name: str, before: Any, after: Any) -> Iterator[Difference]:
    if name == _METADATA:
        for fact in _FACTS:
            yield from compare(name + key_step(fact), before.get(fact, MISSING), after.get(fact, MISSING))
    elif name == _PENDING:
        yield from compare_pending(name, before, after)
    else:
        yield from compare(name, *(MISSING if each is None else each for each in (before, after)))
