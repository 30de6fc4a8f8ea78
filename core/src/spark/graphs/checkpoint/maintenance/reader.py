"""What people look up in a store: runs, histories, checkpoints, and what differs between two."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.calls import not_found, wrapped
from spark.graphs.checkpoint.ids import is_derived
from spark.graphs.checkpoint.maintenance.listing import list_checkpoints, list_graph_ids
from spark.graphs.checkpoint.maintenance.loading import check_sections, find, load, load_at, load_latest
from spark.graphs.checkpoint.maintenance.verification import Verification, verify
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar
from spark.graphs.checkpoint.records.query import CheckpointQuery, check_limit
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import Listing
from spark.graphs.checkpoint.storage.opening import open_backend
from spark.graphs.checkpoint.storage.usage import Usage
from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.message import Interrupt

if TYPE_CHECKING:
    from spark.graphs.checkpoint.inspection.difference import Difference
    from spark.graphs.checkpoint.inspection.entries import HistoryEntry
    from spark.graphs.checkpoint.maintenance.runs import RunInfo

_LOG = logging.getLogger("spark.checkpoint")


class CheckpointReader:
    """Reads the checkpoints of one backend; no method changes anything.

    :param backend: the backend, or its URL or name.
    :param create: with a URL, whether a missing store is created. If False, calls raise ``StoreNotFoundError`` instead.
    :param clock: the present, for claims; tests pass their own.
    """

    def __init__(self, backend: CheckpointBackend | str, *, create: bool = True, clock: Clock = SYSTEM_CLOCK) -> None:
        self.backend: CheckpointBackend = open_backend(backend, create=create) if isinstance(backend, str) else backend
        self._clock = clock

    async def list_checkpoints(
        self,
        graph_id: str | None = None,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        metadata: Mapping[str, Scalar] | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        with_metadata: bool = False,
    ) -> list[CheckpointInfo]:
        """The checkpoints of a graph, oldest first; without a graph id those of all graphs, graph by graph.

        Damaged checkpoints are only logged as a warning; ``listing`` returns both.

        :param after: only those made strictly after this moment; ``before`` likewise. Naive means local time.
        :param metadata: only those with these values in their metadata: ``{"iteration": 10}``.
        :param limit: at most this many, from the oldest, or with ``newest_first`` from the newest.
        :param with_metadata: whether each has its ``metadata``, metrics included, which may take reading headers.
        :raises GraphDefinitionError: an argument is not valid.
        """
        query = CheckpointQuery(
            graph_id=graph_id,
            after=after,
            before=before,
            metadata=metadata or {},
            limit=limit,
            newest_first=newest_first,
            with_metadata=with_metadata,
        )
        listing = await self.listing(query)
        for damaged in listing.damaged:
            _LOG.warning("%s It is left out of the list.", damaged.reason)
        return listing.infos

    async def listing(self, query: CheckpointQuery | None = None) -> Listing:
        """The checkpoints that a query asks for, and the damaged records that the search found.

        :param query: None asks for everything, so every damaged record is named.
        """
        with wrapped(self.backend, "listing checkpoints"):
            return await list_checkpoints(self.backend, query)

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> list[str]:
        """The ids of the graphs that have checkpoints, in the order of code points.

        :param prefix: only ids that begin with this text.
        :param after: only ids that come after this text: the last id of a page asks for the next one.
        :param limit: at most this many.
        :raises GraphDefinitionError: an argument is not valid.
        """
        check_limit(limit)
        with wrapped(self.backend, "listing graph ids"):
            return await list_graph_ids(self.backend, prefix, after=after, limit=limit)

    async def runs(
        self,
        status: str | Collection[str] | None = None,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int | None = None,
        due_before: datetime | None = None,
    ) -> list[RunInfo]:
        """The latest run of each graph id, in the order of graph ids: which are unfinished, why, and when they continue.

        Headers are read, never payloads. Checkpoints that were made by hand say nothing about a run, and hide none. A latest
        checkpoint that can't be read is a run with the status ``"damaged"``.

        :param status: only runs with this status, or one of several: see ``RunInfo.status``.
        :param prefix: only of graph ids that begin with this text.
        :param after: only of graph ids that come after this text: the last one of a page asks for the next page.
        :param limit: at most this many.
        :param due_before: only those with a step that continues by itself at this moment or before; naive means local time.
        :raises GraphDefinitionError: an argument is not valid.
        """
        from spark.graphs.checkpoint.maintenance.runs import find_runs

        return await find_runs(
            self.backend,
            status,
            prefix=prefix,
            after=after,
            limit=limit,
            due_before=due_before,
            now=self._clock.utc_now(),
        )

    async def load_checkpoint(
        self, checkpoint_id: str, *, raw: bool = False, sections: Collection[str] | None = None
    ) -> GraphCheckpoint:
        """The whole checkpoint.

        :param raw: to read it in any program: objects are ``RawObject``s, and no class is needed. Unreadable parts are
            named in its ``damaged``, and the rest is there.
        :param sections: read only these, raw: ``["frontier"]`` tells what is pending, however large the state. Others are
            empty; ``damaged`` names their missing large values, but no other damage in them.
        :raises GraphDefinitionError: there is no section with this name.
        :raises CheckpointNotFoundError: there is none with this id.
        :raises CheckpointDamagedError: what is stored is not what was written.
        :raises DeserializationError: a value's type is not known to this program.
        """
        check_sections(sections)
        return await load(self.backend, await self._found(checkpoint_id), raw=raw, sections=sections)

    async def load_checkpoint_at(
        self, graph_id: str, sequence: int, *, raw: bool = False, sections: Collection[str] | None = None
    ) -> GraphCheckpoint:
        """The checkpoint at one place of a graph's history; as ``load_checkpoint``."""
        check_sections(sections)
        return await load_at(self.backend, graph_id, sequence, raw=raw, sections=sections)

    async def history(
        self,
        graph_id: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        with_changes: bool = False,
    ) -> list[HistoryEntry]:
        """The checkpoints of a graph with what their headers tell, oldest first. What is damaged is an entry, too.

        :param after: only those made strictly after this moment; ``before`` likewise. Naive means local time.
        :param limit: at most this many, from the oldest, or with ``newest_first`` from the newest.
        :param with_changes: whether each has the keys of the state that ``changed``, which reads all of these checkpoints once.
        :raises GraphDefinitionError: an argument is not valid.
        """
        from spark.graphs.checkpoint.inspection.history import read_history

        query = CheckpointQuery(
            graph_id=graph_id, after=after, before=before, limit=limit, newest_first=newest_first, with_metadata=True
        )
        return await read_history(self.backend, query, with_changes=with_changes)

    async def changes(self, graph_id: str, sequence: int) -> list[Difference]:
        """What one checkpoint changed: the differences from its parent; at the beginning of a run, from nothing.

        :raises CheckpointNotFoundError: there is no such checkpoint.
        """
        from spark.graphs.checkpoint.inspection.history import diff, diff_to_parent, nothing_before, with_parent

        if not self.backend.record_codec.format.takes_objects:
            return await diff_to_parent(self.backend, graph_id, sequence)
        parent, record = await with_parent(self.backend, graph_id, sequence)
        after = await load_at(self.backend, graph_id, record.sequence)
        before = nothing_before(after) if parent is None else await load_at(self.backend, graph_id, parent.sequence)
        return await diff(self.backend, before, after)

    async def diff(
        self, before: GraphCheckpoint | CheckpointInfo | str, after: GraphCheckpoint | CheckpointInfo | str
    ) -> list[Difference]:
        """The differences between two checkpoints: by key of the state, item of a list, pending work and result.

        Given ids, or what listings say of them, both are read raw: no class of the program is needed, and what both refer to
        is not read. Most stores find a ``CheckpointInfo`` faster than an id.

        :raises CheckpointNotFoundError: there is none with one of these ids.
        :raises CheckpointDamagedError: one of them is not what was written.
        :raises GraphDefinitionError: an argument is none of these.
        """
        from spark.graphs.checkpoint.inspection.history import diff

        for each in (before, after):
            if not isinstance(each, str) and not hasattr(each, "checkpoint_id"):
                raise GraphDefinitionError(
                    f"diff({each!r}): give the id of a checkpoint, a checkpoint, or what a list says of one. To compare one with "
                    "the checkpoint before it: changes(graph_id, sequence)."
                )
        pair = [await self._found(each) if isinstance(each, str) else each for each in (before, after)]
        if self.backend.record_codec.format.takes_objects:  # so nothing is stored that could be compared
            pair = [each if isinstance(each, GraphCheckpoint) else await load(self.backend, each) for each in pair]
        return await diff(self.backend, *pair)

    async def load_latest(self, graph_id: str) -> GraphCheckpoint | None:
        """The latest checkpoint of a graph, or None when it has none."""
        return await load_latest(self.backend, graph_id)

    async def interrupts(self, graph_id: str) -> tuple[Interrupt, ...]:
        """The open questions of a graph, in the order in which they were asked.

        They are those of its latest checkpoint; none if it has no checkpoint. Answer each with
        ``graph.run(resume={interrupt.id: answer})``. Of the program's own types, only those in payloads are needed.

        :raises CheckpointDamagedError: what is stored is not what was written.
        :raises DeserializationError: the type of a value in a payload is not known to this program.
        """
        latest = await load_latest(self.backend, graph_id, ("frontier", ("tokens", "journal")))
        return latest.interrupts() if latest is not None else ()

    async def usage(self, graph_ids: Iterable[str] | None = None) -> dict[str, Usage]:
        """How much space graphs take in the store, by graph id: checkpoints, bytes including large values, and damaged records.

        :param graph_ids: of these, as far as they have anything; None means all.
        :raises BackendError: the storage failed.
        """
        with wrapped(self.backend, "measuring what graphs take up"):
            found = await self.backend.usage(None if graph_ids is None else [*graph_ids])
        return {id: usage for id, usage in found.items() if not is_derived(id)}

    async def verify(
        self,
        graph_id: str | None = None,
        *,
        raw: bool = False,
        report: Callable[[int, int], None] | None = None,
    ) -> Verification:
        """Load every checkpoint, and report damage, and large values that no checkpoint needs. Nothing is changed.

        :param graph_id: only those of this graph; None means all.
        :param raw: without the classes of the program: whether values can be made into objects is not tried.
        :param report: called with the number of loaded checkpoints, and of all.
        :raises BackendError: the storage failed.
        """
        return await verify(self.backend, graph_id, report, raw=raw)

    async def _found(self, checkpoint_id: str) -> CheckpointInfo:
        info = await find(self.backend, checkpoint_id)
        if info is None:
            raise not_found(checkpoint_id, self.backend)
        return info
