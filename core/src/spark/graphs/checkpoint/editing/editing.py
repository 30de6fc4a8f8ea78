"""A checkpoint written by somebody else than a run: an edit of the latest one, or a branch or a fork from any."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from spark.errors import (
    CheckpointConflictError,
    CheckpointNotFoundError,
    DeserializationError,
    GraphDefinitionError,
    SequenceTakenError,
)
from spark.graphs.checkpoint.calls import not_found, wrapped
from spark.graphs.checkpoint.editing.base import Base
from spark.graphs.checkpoint.editing.copying import copy_blobs
from spark.graphs.checkpoint.editing.edits import EDITED, Changes, Edits, Wired
from spark.graphs.checkpoint.editing.running import check_at_rest
from spark.graphs.checkpoint.ids import check_graph_id
from spark.graphs.checkpoint.maintenance.loading import find, load
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.branches import ASIDE, Aside, aside_in
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar
from spark.graphs.checkpoint.records.query import searchable
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_RANDOM, Clock
from spark.graphs.concurrency.blocking import run_blocking

_OF_EDITS: Final = ("edited_by", "edit_reason")
_SETTLED: Final = frozenset({"completed", "interrupted", "waiting", "manual"})
"""How a run stands that does not continue when it is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """Writes edits and forks into one store."""

    backend: CheckpointBackend
    observers: Observers
    clock: Clock
    random: Random = SYSTEM_RANDOM
    graph: Wired | None = None
    """The program's graph, if it was given."""

    async def edit(self, graph_id: str, changes: Changes, *, expected: str | int | None) -> CheckpointInfo:
        """Add an edit of a graph's latest checkpoint to its history.

        :param expected: the id or the sequence that the latest checkpoint is to have.
        :raises CheckpointNotFoundError: the graph has no checkpoint.
        :raises CheckpointConflictError: another one is the latest, or somebody has added one meanwhile.
        """
        edits = Edits(**changes)
        if not edits:
            raise GraphDefinitionError("edit(): say what to change: set=, append=, delete= or as_node=.")
        sequence, latest = await self._latest(check_graph_id(graph_id))
        if latest is None:
            raise CheckpointNotFoundError(
                f"The {self.backend.name} backend has no checkpoint of graph {graph_id!r}, so there is nothing to edit. Check "
                "the graph id and the store."
            )
        header = latest.header
        await check_at_rest(self.backend, graph_id, latest, clock=self.clock)
        if expected is not None and expected not in (header.checkpoint_id, header.sequence):
            raise CheckpointConflictError(
                f"Graph {graph_id!r} has moved on: the edit expects checkpoint {expected!r}, and the latest one is "
                f"{header.checkpoint_id!r} (sequence {header.sequence}). Nothing was changed. Look at that one, and edit again."
            )
        base = await Base.open(self.backend, latest, random=self.random)
        facts = await self._apply(base, edits, sequence=sequence, what="edited")
        record = await self._record(base, facts, graph_id=graph_id, sequence=sequence, parent=header.sequence)
        return await self._put(record)

    async def fork(self, checkpoint_id: str, changes: Changes, *, graph_id: str | None) -> CheckpointInfo:
        """Begin another history with a checkpoint, or another branch of its own.

        :param graph_id: of the new history; None for a branch.
        """
        edits, info = Edits(**changes), await find(self.backend, checkpoint_id)
        if info is None:
            raise not_found(checkpoint_id, self.backend)
        with wrapped(self.backend, "loading checkpoint ", info.checkpoint_id):
            stored = await self.backend.get(info.graph_id, info.sequence)
        if stored is None:
            raise not_found(info.checkpoint_id, self.backend)
        target = info.graph_id if graph_id is None else check_graph_id(graph_id)
        sequence, latest = await self._latest(target)
        await check_at_rest(self.backend, target, latest, clock=self.clock)
        if graph_id is not None and latest is not None:
            raise CheckpointConflictError(
                f"Graph {graph_id!r} has checkpoints already, the latest is {latest.header.checkpoint_id!r}; a fork begins a new "
                "history. Choose another graph id, or leave it out for a branch of the same history. Nothing was changed."
            )
        base = await Base.open(self.backend, stored, random=self.random)
        aside = Aside.of(aside_in(base.header.metadata)).with_range(info.sequence + 1, sequence - 1)
        is_elsewhere = graph_id is not None
        facts = await self._apply(
            base,
            edits,
            sequence=sequence,
            what="forked",
            aside=Aside() if is_elsewhere else aside,
            is_elsewhere=is_elsewhere,
        )
        if graph_id is not None:
            await copy_blobs(base, graph_id, sequence=sequence)
        parent, origin = (info.sequence, None) if graph_id is None else (None, info.checkpoint_id)
        record = await self._record(base, facts, graph_id=target, sequence=sequence, parent=parent, origin=origin)
        return await self._put(record)

    async def _latest(self, graph_id: str) -> tuple[int, Record | None]:
        """The next free sequence, and the latest record."""
        with wrapped(self.backend, "looking for the latest checkpoint of graph ", graph_id):
            # Asked before looking: what is written after this takes that sequence, and is found out when the edit is stored.
            sequence = await self.backend.next_sequence(graph_id)
            return sequence, await self.backend.get_latest(graph_id)

    async def _apply(
        self,
        base: Base,
        edits: Edits,
        *,
        sequence: int,
        what: str,
        aside: Aside | None = None,
        is_elsewhere: bool = False,
    ) -> dict[str, Scalar]:
        """Change a checkpoint, and have it say who did that, and how its run stands; returns what can be searched for.

        :param aside: which checkpoints are those of other branches; None for the same as before.
        :param is_elsewhere: it begins another history, to which none of the messages were sent.
        """
        await base.apply(edits, sequence=sequence)
        status, new, dropped = await _status(base, what), dict[str, Any](), [*_OF_EDITS]
        if edits.as_node is not None:
            from spark.graphs.checkpoint.editing.firing import DROPPED, fire  # what it takes knows all of a graph

            topology = self.graph.topology if self.graph is not None else None
            fired = await fire(base, edits, topology, sequence=sequence)
            base.tree["frontier"] = fired.frontier
            status, new, dropped = fired.status or what, fired.facts, [*dropped, *DROPPED]
        if aside is not None:
            dropped.append(ASIDE)
            new |= {ASIDE: str(aside)} if aside else {}
        if is_elsewhere:
            dropped.append("received")
            new |= {"messages": 0} if "messages" in {**base.header.metadata, **new} else {}
            await _forget_received(base)
        new |= {"reason": what, "status": status}
        new |= {name: text for name, text in zip(_OF_EDITS, (edits.by, edits.reason), strict=True) if text}
        return await _describe(base, new, dropped=dropped)

    async def _record(
        self,
        base: Base,
        facts: Mapping[str, Scalar],
        *,
        graph_id: str,
        sequence: int,
        parent: int | None,
        origin: str | None = None,
    ) -> Record:
        made = partial(
            base.rewriting.record,
            graph_id=graph_id,
            sequence=sequence,
            parent=parent,
            timestamp=self.clock.utc_now(),
            origin=origin,
            metadata=facts if origin is None else {"origin": origin, **facts},
        )
        return await run_blocking(made)

    async def _put(self, record: Record) -> CheckpointInfo:
        """Store a record in its place, unless somebody else has that by now.

        :raises CheckpointConflictError: that is so; nothing was written.
        """
        graph_id, sequence = record.graph_id, record.sequence
        try:
            with wrapped(self.backend, "saving checkpoint ", record.header.checkpoint_id):
                await self.backend.put(record)
        except SequenceTakenError as taken:
            with wrapped(self.backend, f"reading back sequence {sequence} of graph {graph_id!r}"):
                there = await self.backend.get(graph_id, sequence)
            if there is None or there.header.nonce != record.header.nonce:  # else its acknowledgement was lost
                raise CheckpointConflictError(
                    f"Graph {graph_id!r} has moved on meanwhile: checkpoint {sequence} was written by somebody else. Nothing was "
                    "changed. Look at the latest checkpoint, and edit again."
                ) from taken
        info = record.info()
        if "spark_checkpoint_created" in self.observers.heard():
            await self.observers.created(await self._loaded(info), info, store=self.backend)
        return info

    async def _loaded(self, info: CheckpointInfo) -> GraphCheckpoint:
        """The checkpoint for observers; with ``RawObject``s where this program does not know its types."""
        try:
            return await load(self.backend, info)
        except DeserializationError:
            return await load(self.backend, info, raw=True)


async def _forget_received(base: Base) -> None:
    if base.tree.get("frontier") is not None:
        frontier = await base.section("frontier")
        if "inbox" in frontier:
            frontier.delete("inbox")


async def _describe(base: Base, new: dict[str, Any], *, dropped: Collection[str]) -> dict[str, Scalar]:
    """Put facts into the metadata of a checkpoint; returns what can be searched for.

    :param dropped: what is no longer so, unless it is among the new facts.
    """
    section, before = await base.section("execution_metadata"), base.header.metadata
    for key in dropped:
        if key in section and key not in new:
            section.delete(key)
    for key, value in new.items():
        section.set(key, value if key == "error" else base.rewriting.plain_tree(value, f"execution_metadata[{key!r}]"))
    return {key: value for key, value in before.items() if key not in dropped} | searchable(new)


async def _status(base: Base, what: str) -> str:
    """How a run stands whose state was edited: it can be resumed, unless it is complete, or all that is left waits."""
    before, has_work = base.header.metadata, base.tree.get("frontier") is not None
    reason = before.get("status") if before.get("reason") in EDITED else before.get("reason")
    if reason == "manual" and has_work:
        frontier = await base.section("frontier")
        return what if "tokens" in frontier and await frontier.value("tokens") else "completed"
    return str(reason) if reason in _SETTLED else what
