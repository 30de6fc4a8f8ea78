"""What people do with stored checkpoints: list, load, verify, delete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from spark.errors import GraphDefinitionError, RunError
from spark.graphs.checkpoint.calls import not_found, wrapped
from spark.graphs.checkpoint.maintenance.deleting import clear_derived, delete, forget
from spark.graphs.checkpoint.maintenance.garbage import collect_garbage, delete_blobs, find_orphans
from spark.graphs.checkpoint.maintenance.listing import list_checkpoints, list_graph_ids
from spark.graphs.checkpoint.maintenance.loading import find, load, load_latest
from spark.graphs.checkpoint.maintenance.verification import Verification, verify
from spark.graphs.checkpoint.model import GraphCheckpoint
from spark.graphs.checkpoint.observers.handlers import Handlers
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.retention import Retention, surplus
from spark.graphs.checkpoint.records.info import CheckpointInfo, Scalar
from spark.graphs.checkpoint.records.query import CheckpointQuery, check_limit, checked_moment
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.checkpoint.storage.listing import Listing
from spark.graphs.checkpoint.storage.opening import open_backend
from spark.graphs.clock import SYSTEM_CLOCK, Clock
from spark.graphs.concurrency.grace_period import TO_DRAIN, checked_grace
from spark.graphs.message import Interrupt
from spark.graphs.state.journal import answer_topic, checked_signal, signal_topic

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Claim
    from spark.graphs.checkpoint.derived.inbox import Inbox
    from spark.graphs.checkpoint.maintenance.recovery import BuildGraph, Recovery
    from spark.graphs.checkpoint.maintenance.runs import RunInfo

Outcome = TypeVar("Outcome")

_LOG = logging.getLogger("spark.checkpoint")


class CheckpointManager:
    """The checkpoints of one backend.

    :param backend: the backend, or its URL or name.
    :param handler: notified of what is deleted here: a handler of your own, an observer by name, or several of these.
    :param clock: the present, for rules of retention that go by age; tests pass their own.
    """

    def __init__(
        self,
        backend: CheckpointBackend | str,
        handler: Handlers | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.backend: CheckpointBackend = open_backend(backend) if isinstance(backend, str) else backend
        self._observers = Observers.of(handler, place="CheckpointManager(handler=…)")
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

        What is damaged has no line, only a warning in the log; ``listing`` returns both.

        :param after: only those made strictly after this moment; ``before`` likewise. Naive means local time.
        :param metadata: only those with these values in their metadata: ``{"iteration": 10}``.
        :param limit: at most so many, from the oldest, or with ``newest_first`` from the newest.
        :param with_metadata: whether each has its ``metadata``, metrics included, which may take reading headers.
        :raises GraphDefinitionError: an argument is not what it should be.
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
        """The checkpoints that a query asks for, and the damaged records that the search came upon.

        :param query: None asks for everything, and so names every damaged record.
        """
        with wrapped(self.backend, "listing checkpoints"):
            return await list_checkpoints(self.backend, query)

    async def graph_ids(self, prefix: str = "", *, after: str | None = None, limit: int | None = None) -> list[str]:
        """The ids of the graphs that have checkpoints, in the order of code points.

        :param prefix: only ids that begin with this text.
        :param after: only ids that come after this text: the last id of a page asks for the next one.
        :param limit: at most so many.
        :raises GraphDefinitionError: an argument is not what it should be.
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
        """The latest run of each graph id, in the order of graph ids: which are unfinished, why, and when they go on.

        Headers are read, never payloads. Checkpoints that were made by hand tell nothing of a run, and hide none. A latest
        checkpoint that can't be read is a run with the status ``"damaged"``.

        :param status: only runs with this status, or one of several: see ``RunInfo.status``.
        :param prefix: only of graph ids that begin with this text.
        :param after: only of graph ids that come after this text: the last one of a page asks for the next page.
        :param limit: at most so many.
        :param due_before: only those of which a step goes on by itself at this moment, or before it; naive means local time.
        :raises GraphDefinitionError: an argument is not what it should be.
        """
        from spark.graphs.checkpoint.maintenance.runs import pages_of_runs, wanted_statuses, with_owners

        check_limit(limit)
        wanted, moment = wanted_statuses(status), checked_moment("due_before", due_before)
        found: list[RunInfo] = []
        pages = pages_of_runs(self.backend, prefix, after=after, limit=limit, wanted=wanted)
        async with aclosing(pages):
            async for page in pages:
                found += [
                    run
                    for run in page
                    if run.status in wanted and (moment is None or (run.due is not None and run.due <= moment))
                ]
                if limit is not None and len(found) >= limit:
                    break
        found = found[:limit]
        return await with_owners(self.backend, found, now=self._clock.utc_now())

    async def resume_all(
        self,
        build_graph: BuildGraph[Outcome],
        *,
        limit: int = 8,
        status: str | Collection[str] | None = None,
        prefix: str = "",
        claim: Claim | bool = True,
        stale_after: timedelta | None = None,
        stop: asyncio.Event | None = None,
        grace: float = TO_DRAIN,
    ) -> Recovery[Outcome]:
        """Resume what is unfinished and can go on: at start-up, or again and again as something becomes due.

        That is every run that is ``"running"`` although nobody claims it, was drained, or waits and is due, or has been sent a
        message. Each is claimed, resumed with ``wait=False``, and released. One that raises does not stop the others. A run that
        is under way without a claim looks like one that was killed, so run graphs with ``claim=True`` everywhere.

        :param build_graph: makes the ``Graph`` for a graph id, with its nodes and this store; may be async.
        :param limit: at most so many are under way at a time.
        :param status: only runs with this status, or one of several; ``["failed"]`` tries failed ones again.
        :param prefix: only of graph ids that begin with this text.
        :param claim: how to claim them: a ``Claim``, or True.
        :param stale_after: leave runs alone that nobody claims and whose latest checkpoint is younger than this.
        :param stop: once this is set, no more are begun, and those that are under way are drained.
        :param grace: seconds that their running nodes get to finish then; whoever stops this process should wait 10 more.
        :raises GraphDefinitionError: an argument is not what it should be.
        """
        from spark.graphs.checkpoint.derived.claims import Claim
        from spark.graphs.checkpoint.maintenance.recovery import RECOVERED, Recovery, Resuming, due_runs
        from spark.graphs.checkpoint.maintenance.runs import with_news

        if type(limit) is not int or limit < 1:
            raise GraphDefinitionError(f"resume_all(limit={limit!r}): give a whole number of at least 1.")
        owner, seconds = Claim.of(claim).named(), checked_grace("resume_all", grace)
        runs = await self.runs(RECOVERED if status is None else status, prefix=prefix)
        news = await with_news(self.backend, runs)
        due, skipped = due_runs(runs, now=self._clock.utc_now(), news=news, stale_after=stale_after)
        recovery: Recovery[Outcome] = Recovery(skipped=skipped)
        await Resuming(build_graph, owner, recovery, stop=stop or asyncio.Event(), grace=seconds).resume(
            due, limit=limit
        )
        return recovery

    async def load_checkpoint(self, checkpoint_id: str) -> GraphCheckpoint:
        """The whole checkpoint.

        :raises CheckpointNotFoundError: there is none with this id.
        :raises CheckpointDamagedError: what is stored is not what was written.
        :raises DeserializationError: a value's type is not known to this program.
        """
        info = await find(self.backend, checkpoint_id)
        if info is None:
            raise not_found(checkpoint_id, self.backend)
        return await load(self.backend, info)

    async def load_latest(self, graph_id: str) -> GraphCheckpoint | None:
        """The latest checkpoint of a graph, or None when it has none."""
        return await load_latest(self.backend, graph_id)

    async def interrupts(self, graph_id: str) -> tuple[Interrupt, ...]:
        """The questions that a graph waits to have answered, in the order in which they were asked.

        Those of its latest checkpoint; none where it has no checkpoint. Each is answered with
        ``graph.run(resume={interrupt.id: answer})``. Of the program's own types, only those in payloads need to be known here.

        :raises CheckpointDamagedError: what is stored is not what was written.
        :raises DeserializationError: the type of a value in a payload is not known to this program.
        """
        latest = await load_latest(self.backend, graph_id, ("frontier", ("tokens", "journal")))
        return latest.interrupts() if latest is not None else ()

    async def send(self, graph_id: str, name: str, value: Any = None, *, key: str | None = None) -> bool:
        """Send a message to a graph: a step that waits for it by its name gets the value (``context.wait_for(name)``).

        When this returns, the message is durable. It waits until a step asks for it, whether a run is under way, here or in
        another process, has returned, or has never been started: the graph need not have any checkpoint. Messages of one name are
        received in the order in which they were sent, each once.

        :param value: whatever a checkpoint can hold.
        :param key: names the message, so that it can be sent again after an error: as long as it is among the latest 100 messages
            of the graph, or nobody has received it yet, a second one of this name and key is not sent.
        :return: whether it was sent; False if one with this key was sent before.
        :raises GraphDefinitionError: the name or the key can't be used.
        :raises InvalidIdError: the graph id can't be used.
        :raises SerializationError: the value can't be saved; nothing was sent.
        :raises BackendError: the storage failed, and it may have been sent: with a ``key``, send it again.
        """
        return await self._inbox(graph_id).send(signal_topic(checked_signal(name)), value, key=key)

    async def answer(self, graph_id: str, answers: Mapping[str, Any]) -> None:
        """Answer questions that a graph's run has asked: ``{interrupt.id: answer}``. Another process may run it, or nobody.

        When this returns, the answers are durable. A run that is under way and waits takes them; ``run(resume=True)`` takes those
        that were given before. Of several answers to one question, the first counts.

        :raises RunError: the latest checkpoint has no open question with this id; nothing was answered.
        :raises SerializationError: an answer can't be saved; those before it were given.
        :raises BackendError: the storage failed; answers before this one were given.
        """
        asked = [interrupt.id for interrupt in await self.interrupts(graph_id)]
        for id in answers:
            if id not in asked:
                open = (
                    f"Open are {', '.join(map(repr, asked))}."
                    if asked
                    else "None is open; check the graph id and the store."
                )
                raise RunError(f"Graph {graph_id!r} has no open question {id!r}; it may have been answered. {open}")
        inbox = self._inbox(graph_id)
        for id, answer in answers.items():
            await inbox.send(answer_topic(id), answer)

    async def delete_checkpoint(self, checkpoint_id: str) -> bool:
        """Delete one checkpoint; False when there is none with this id."""
        info = await find(self.backend, checkpoint_id)
        return info is not None and await self._delete([info]) == 1

    async def delete_all_checkpoints(self, graph_id: str) -> int:
        """Delete every checkpoint of a graph, also those made by hand, and the messages sent to it; returns how many checkpoints.

        Large values that a run may be about to refer to stay; ``remove_orphans`` deletes them. The graph id stays with the
        sequences that were used, so that no run uses them again; ``forget`` removes these, too.
        """
        count = await self._delete(await self.list_checkpoints(graph_id))
        await clear_derived(self.backend, graph_id)
        return count

    async def forget(self, graph_id: str) -> int:
        """Remove every trace of a graph; returns how many checkpoints that were.

        That is all checkpoints, including those made by hand and damaged ones, all large values, the messages that were sent to
        it, and the graph id: a run under it starts from scratch. Call it only while no run of the graph is under way. Observers
        are notified of each checkpoint that was listed. If it is stopped part-way, call it again.

        :raises BackendError: the storage failed; what is left is whole.
        """
        with wrapped(self.backend, "listing the checkpoints of graph ", graph_id):
            infos = (await self.backend.list(graph_id)).infos
        deleted, failed = await forget(self.backend, graph_id)
        await self._observers.deleted(info for info in infos if info.sequence in {*deleted})
        if failed is not None:
            raise failed
        return len(deleted)

    async def cleanup_before(self, cutoff: datetime, *, graph_id: str | None = None) -> int:
        """Delete what is strictly older than the cutoff, also what was made by hand; returns how many.

        :param cutoff: aware, or naive for local time.
        :param graph_id: only of this graph; None means all.
        """
        instant = cutoff.astimezone()
        return await self._delete(info for info in await self.list_checkpoints(graph_id) if info.timestamp < instant)

    async def prune(
        self, retention: Retention, *, graph_id: str | None = None, dry_run: bool = False
    ) -> list[CheckpointInfo]:
        """Delete what a rule of retention gives up, as the runs of the graphs would; returns what that was.

        What was made by hand, and the latest of each graph, stay.

        :param graph_id: only of this graph; None means all, each by itself.
        :param dry_run: only say what would be deleted.
        """
        infos = await self.list_checkpoints(graph_id, with_metadata=retention.reads_metadata)
        automatic = [info for info in infos if not info.manual]
        now = self._clock.utc_now()
        to_delete = [
            info
            for _, infos in groupby(automatic, key=attrgetter("graph_id"))
            for info in surplus(list(infos), retention=retention, now=now)
        ]
        if not dry_run:
            await self._delete(to_delete)
        return to_delete

    async def verify(
        self, graph_id: str | None = None, *, report: Callable[[int, int], None] | None = None
    ) -> Verification:
        """Load every checkpoint, and report what is damaged, and which large values no checkpoint needs. Nothing is changed.

        :param graph_id: only those of this graph; None means all.
        :param report: called with how many of how many were loaded.
        :raises BackendError: the storage failed.
        """
        return await verify(self.backend, graph_id, report)

    async def remove_orphans(self, graph_id: str, *, at_rest: bool = True) -> int:
        """Remove the large values of a graph that no checkpoint needs; returns how many.

        Runs do so by themselves. This is for what is left when a graph does not run again: call it only while no run of this
        graph is under way, because it deletes what a run may be about to refer to.

        :param at_rest: False when a run may be under way: then only what it can't come to need, as ``verify`` reports it.
        :raises CheckpointDamagedError: a checkpoint can't be read, so that it is not known what it needs. Nothing was removed.
        :raises BackendError: the storage failed.
        """
        orphans = await find_orphans(self.backend, graph_id, at_rest=at_rest)
        return await delete_blobs(self.backend, graph_id, orphans)

    def _inbox(self, graph_id: str) -> Inbox:
        from spark.graphs.checkpoint.derived.inbox import Inbox  # not needed by those who send nothing

        return Inbox(self.backend, graph_id, clock=self._clock)

    async def _delete(self, checkpoints: Iterable[CheckpointInfo]) -> int:
        count = 0
        for graph_id, infos in groupby(checkpoints, key=attrgetter("graph_id")):
            deleted, failed = await delete(self.backend, list(infos))
            count += len(deleted)
            await self._observers.deleted(deleted)
            if failed:
                raise failed
            if deleted and self.backend.keeps_blobs:
                await collect_garbage(self.backend, graph_id)
        return count
