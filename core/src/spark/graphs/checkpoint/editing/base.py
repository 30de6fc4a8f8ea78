"""The stored checkpoint that an edit or a fork starts from: open, and as trees."""

from __future__ import annotations

from random import Random
from typing import Any

from spark.errors import RunError
from spark.graphs.checkpoint.calls import not_found, wrapped
from spark.graphs.checkpoint.editing.edits import Edits
from spark.graphs.checkpoint.editing.rewriting import Rewriting
from spark.graphs.checkpoint.editing.stored_trees import StoredMapping, with_added
from spark.graphs.checkpoint.records.blobs import BlobRef
from spark.graphs.checkpoint.records.record import Record, RecordHeader
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import random_hex
from spark.graphs.concurrency.blocking import run_blocking


class Base:
    """A record whose tree is edited. The values in it are read only where an edit needs them."""

    def __init__(self, backend: CheckpointBackend, rewriting: Rewriting) -> None:
        self.backend: CheckpointBackend = backend
        self.rewriting: Rewriting = rewriting
        self.header: RecordHeader = rewriting.opened.header

    @classmethod
    async def open(cls, backend: CheckpointBackend, record: Record, *, random: Random) -> Base:
        """The record of a checkpoint, opened.

        :raises CheckpointDamagedError: it is not what was written.
        :raises CheckpointVersionError: it is of another major version.
        :raises DeserializationError: its format, or a codec, can't be used here.
        """
        opened = await run_blocking(backend.record_codec.open, record)
        blob_cost = backend.blob_cost if backend.keeps_blobs else None
        rewriting = Rewriting(backend.record_codec, opened, writer=random_hex(random, size=8), blob_cost=blob_cost)
        return cls(backend, rewriting)

    @property
    def tree(self) -> dict[str, Any]:
        """The tree of its payload."""
        return self.rewriting.tree

    async def read(self, ref: BlobRef) -> Any:
        """The tree that a large value was made of.

        :raises CheckpointNotFoundError: the checkpoint was deleted meanwhile.
        :raises CheckpointDamagedError: it is missing, or not what was written.
        """
        header, backend = self.header, self.backend
        with wrapped(backend, "loading checkpoint ", header.checkpoint_id):
            stored = (await backend.get_blobs(header.graph_id, [ref.name])).get(ref.name)
            if stored is None and await backend.get(header.graph_id, header.sequence) is None:
                raise not_found(header.checkpoint_id, backend)
        return await run_blocking(self.rewriting.opened.value_of, ref, stored)

    async def section(self, name: str) -> StoredMapping:
        """One of its sections, to be edited."""
        return await StoredMapping(self.tree, name, self.read).open()

    async def whole(self, name: str) -> dict[str, Any] | None:
        """A copy of the tree of one of its sections, with all large values in their places; None where there is none.

        :raises CheckpointDamagedError: one of them is missing, or not what was written.
        """
        opened = self.rewriting.opened.alone(name)
        names = opened.blob_names()
        with wrapped(self.backend, "loading checkpoint ", self.header.checkpoint_id):
            blobs = await self.backend.get_blobs(self.header.graph_id, names) if names else {}
        await run_blocking(opened.fill, blobs)
        opened.put_buffers_into_text()
        tree: dict[str, Any] | None = opened.tree[name]
        return tree

    async def apply(self, edits: Edits, *, sequence: int) -> None:
        """Change the shared state. Where that is not possible, nothing is written anywhere.

        :param sequence: of the record that will be written.
        :raises RunError: there is no such key to delete, or no such list to append to.
        :raises SerializationError: a value can't be saved.
        """
        if not (edits.set or edits.append or edits.delete):
            return
        state = await self.section("graph_state")
        for key in [*edits.append, *edits.delete]:
            if key not in state:
                raise self._unknown(key, state)
        for key, value in edits.set.items():
            state.set(key, self.rewriting.tree_of(value, f"graph_state[{key!r}]", sequence=sequence))
        for key, items in edits.append.items():
            await self._append(state, key, items, sequence=sequence)
        for key in edits.delete:
            state.delete(key)

    async def _append(self, state: StoredMapping, key: str, items: Any, *, sequence: int) -> None:
        rewriting = self.rewriting
        trees = [rewriting.plain_tree(item, f"append[{key!r}][{number}]") for number, item in enumerate(items)]
        longer = await with_added(await state.value(key), trees, self.read)
        if longer is None:
            raise RunError(
                f"Checkpoint {self.header.checkpoint_id!r} of graph {self.header.graph_id!r} has no list under {key!r}, so "
                "nothing can be appended to it. Give the whole new value: set={…}. Nothing was changed."
            )
        state.set(key, rewriting.large_or_tree(longer, f"graph_state[{key!r}]", sequence=sequence))

    def _unknown(self, key: str, state: StoredMapping) -> RunError:
        keys = state.keys()
        shown = ", ".join(map(repr, keys[:20])) + (", …" if len(keys) > 20 else "")
        return RunError(
            f"Checkpoint {self.header.checkpoint_id!r} of graph {self.header.graph_id!r} has no key {key!r} in its state. "
            f"{f'There are {shown}.' if keys else 'Its state is empty.'} Nothing was changed."
        )
