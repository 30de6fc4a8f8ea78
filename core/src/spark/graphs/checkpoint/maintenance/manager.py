"""What people do with stored checkpoints beside looking at them: answer, edit, fork, resume, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.maintenance.deleting import clear_derived, delete, forget
from spark.graphs.checkpoint.maintenance.garbage import collect_garbage, delete_blobs, find_orphans
from spark.graphs.checkpoint.maintenance.loading import find
from spark.graphs.checkpoint.maintenance.pruning import Branches, checked_branches, surplus_of_graphs
from spark.graphs.checkpoint.maintenance.reader import CheckpointReader
from spark.graphs.checkpoint.observers.handlers import Handlers
from spark.graphs.checkpoint.observers.observers import Observers
from spark.graphs.checkpoint.policies.retention import Retention
from spark.graphs.checkpoint.records.info import CheckpointInfo
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import SYSTEM_CLOCK, SYSTEM_RANDOM, Clock
from spark.graphs.concurrency.grace_period import TO_DRAIN
from spark.graphs.state.journal import checked_signal, signal_topic

if TYPE_CHECKING:
    from spark.graphs.checkpoint.derived.claims import Claim
    from spark.graphs.checkpoint.derived.inbox import Inbox
    from spark.graphs.checkpoint.editing.editing import Editor
    from spark.graphs.checkpoint.editing.edits import Changes, Wired
    from spark.graphs.checkpoint.maintenance.recovery import BuildGraph, Recovery
    from spark.graphs.checkpoint.maintenance.runs import RunInfo

Outcome = TypeVar("Outcome")


class CheckpointManager(CheckpointReader):
    """Reads and changes the checkpoints of one backend: all methods of a ``CheckpointReader``, and those that change something.

    :param backend: the backend, or its URL or name.
    :param handler: notified of deletions: a handler of your own, an observer by name, or several of these.
    :param create: with a URL, whether a missing store is created. If False, calls raise ``StoreNotFoundError`` instead.
    :param clock: the present, for retention rules that use ages; tests pass their own.
    """

    def __init__(
        self,
        backend: CheckpointBackend | str,
        handler: Handlers | None = None,
        *,
        create: bool = True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(backend, create=create, clock=clock)
        self._observers = Observers.of(handler, place="CheckpointManager(handler=…)")

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
        """Resume all unfinished runs that can continue: at start-up, or repeatedly, as runs become due.

        That is every run that is ``"running"`` although nobody claims it, was drained, or waits and is due, or has been sent a
        message. Each is claimed, resumed with ``wait=False``, and released. One that raises does not stop the others. A run that
        is under way without a claim looks like one that was killed, so run graphs with ``claim=True`` everywhere.

        :param build_graph: makes the ``Graph`` for a graph id, with its nodes and this store; may be async.
        :param limit: how many run at a time.
        :param status: only runs with this status, or one of several; ``["failed"]`` tries failed ones again.
        :param prefix: only of graph ids that begin with this text.
        :param claim: how to claim them: a ``Claim``, or True.
        :param stale_after: leave runs alone that nobody claims and whose latest checkpoint is younger than this.
        :param stop: once this is set, no more are begun, and running ones are drained.
        :param grace: seconds that their running nodes then get to finish; allow 10 more before you kill this process.
        :raises GraphDefinitionError: an argument is not valid.
        """
        from spark.graphs.checkpoint.maintenance.due import RECOVERED
        from spark.graphs.checkpoint.maintenance.recovery import Resumer, resume_due

        resumer = Resumer(
            "resume_all",
            build_graph,
            self.backend,
            claim=claim,
            limit=limit,
            stop=stop,
            grace=grace,
            clock=self._clock,
        )
        runs = await self.runs(RECOVERED if status is None else status, prefix=prefix)
        return await resume_due(resumer, runs, self.backend, clock=self._clock, stale_after=stale_after)

    async def work(
        self,
        build_graph: BuildGraph[Outcome],
        *,
        limit: int = 8,
        every: float = 5.0,
        idle_exit: float | None = None,
        prefix: str = "",
        claim: Claim | bool = True,
        stale_after: timedelta | None = None,
        stop: asyncio.Event | None = None,
        grace: float = TO_DRAIN,
        tell: Callable[[RunInfo, Outcome | Exception | str | None], object] = lambda run, outcome: None,
    ) -> None:
        """Do what ``resume_all`` does again and again, as long as this process lasts: be one of any number of workers.

        At most ``limit`` runs are in progress, and others take their places as soon as they end. Runs that were submitted, or
        left by workers, are found at once, without going through those that are complete; runs that nobody ever claimed, page
        by page. If the storage fails later than at the first poll, the worker waits for it.

        :param every: seconds between two polls of a worker that has room: for runs of dead workers, and for all others if
            nothing was found the last time. Polls that take long are rarer.
        :param idle_exit: return after this many seconds without work; None never does.
        :param stop: once this is set, no more are begun, running ones are drained, and this returns.
        :param tell: called with a run that is taken up and None, and then with what it returned or raised; or with a text that
            says why it is left alone, where another worker was faster.
        :raises GraphDefinitionError: an argument is not valid.
        :raises BackendError: the storage failed at the first poll.
        """
        from spark.graphs.checkpoint.maintenance.finding import Finder
        from spark.graphs.checkpoint.maintenance.recovery import Resumer
        from spark.graphs.checkpoint.maintenance.working import Working

        backend, clock = self.backend, self._clock
        resumer = Resumer("work", build_graph, backend, claim=claim, limit=limit, stop=stop, grace=grace, clock=clock)
        finder = Finder(backend, prefix=prefix, stale_after=stale_after, every=every, clock=clock, random=SYSTEM_RANDOM)
        await Working(resumer, finder, every=every, idle_exit=idle_exit, tell=tell, clock=clock).work()

    async def send(self, graph_id: str, name: str, value: Any = None, *, key: str | None = None) -> bool:
        """Send a signal to a graph: a step that waits for it by its name gets the value (``context.wait_for(name)``).

        When this returns, the signal is durable. It waits until a step asks for it, whether a run is in progress, here or
        in another process, has returned, or has never been started: the graph need not have a checkpoint. Signals of one
        name are received once each, in the order in which they were sent.

        :param value: whatever a checkpoint can hold.
        :param key: identifies the signal, so you can send it again after an error: as long as it is among the latest 100
            signals of the graph, or nobody has received it yet, a second one with this name and key is not sent.
        :return: whether it was sent; False if one with this key was sent before.
        :raises GraphDefinitionError: the name or the key can't be used.
        :raises InvalidIdError: the graph id can't be used.
        :raises SerializationError: the value can't be saved; nothing was sent.
        :raises BackendError: the storage failed, and it may have been sent: with a ``key``, send it again.
        """
        return await self._inbox(graph_id).send(signal_topic(checked_signal(name)), value, key=key)

    async def answer(self, graph_id: str, answers: Mapping[str, Any]) -> None:
        """Answer the open questions of a graph: ``{interrupt.id: answer}``. Its run may be in any process, or in none.

        When this returns, the answers are durable. A waiting run takes them at once; ``run(resume=True)`` takes those that
        were given before. Of several answers to one question, the first counts.

        :raises RunError: the latest checkpoint has no open question with this id; nothing was answered.
        :raises GraphDefinitionError: these are no answers by id.
        :raises SerializationError: an answer can't be saved; those before it were given.
        :raises BackendError: the storage failed; answers before this one were given.
        """
        asked = [interrupt.id for interrupt in await self.interrupts(graph_id)]
        await self._inbox(graph_id).answer(answers, asked=asked)

    async def edit(
        self,
        graph_id: str,
        *,
        expected: str | int | None = None,
        graph: Wired | None = None,
        **changes: Unpack[Changes],
    ) -> CheckpointInfo:
        """Change what a graph's next ``run(resume=True)`` continues from: a new checkpoint, made of the latest one.

        ``set={key: value}``, ``append={key: [item]}`` and ``delete=[key]`` change the shared state; values that they don't touch
        stay as they are stored, so the program's types are not needed. ``as_node="review", output=…``: the edit
        counts as a step of that node. Its pending step is finished with that output; if there is none, its edges fire once
        more. ``reason=`` and ``by=`` record why and who in the history.

        :param expected: the id or the sequence of the checkpoint that the edit is meant for.
        :param graph: the ``Graph``, where edges of ``as_node`` depend on functions.
        :raises CheckpointConflictError: the graph has moved on. Nothing was changed, as with every error.
        :raises CheckpointNotFoundError: the graph has no checkpoint.
        :raises RunError: the graph is running, has no such key, list or node, or its edges can't be decided here.
        :raises SerializationError: a value can't be saved.
        """
        return await self._editor(graph).edit(graph_id, changes, expected=expected)

    async def fork(
        self,
        checkpoint_id: str,
        graph_id: str | None = None,
        *,
        graph: Wired | None = None,
        **changes: Unpack[Changes],
    ) -> CheckpointInfo:
        """Begin another history from a checkpoint, changed as by ``edit``: a run of ``graph_id`` continues from there.

        The new history is independent: you may delete the old one. Its first checkpoint names its ``origin``.

        :param graph_id: of the new history; None for a branch of the same one, whose latest checkpoint it becomes.
        :raises CheckpointNotFoundError: there is no checkpoint with this id.
        :raises CheckpointConflictError: the new graph id already has a history, or somebody else was faster.
        :raises RunError: as ``edit``.
        """
        return await self._editor(graph).fork(checkpoint_id, changes, graph_id=graph_id)

    async def drain(self, graph_id: str, reason: str = "") -> bool:
        """Ask the run of a graph, in whichever process it is, to stop at a boundary, as ``Graph.drain`` does.

        It sees this when it next looks: with a claim, whenever that is renewed (every 10 seconds by default); while it waits for
        messages, every ``signal_poll``; and else at its next checkpoint. A later run of the graph is not stopped by it.

        :return: whether a run seems to be there: somebody claims the graph, or its latest checkpoint says that it is running.
        """
        from spark.graphs.checkpoint.editing.draining import ask_to_drain

        return await ask_to_drain(self.backend, graph_id, reason, clock=self._clock)

    async def delete_checkpoint(self, checkpoint_id: str) -> bool:
        """Delete one checkpoint; False when there is none with this id."""
        info = await find(self.backend, checkpoint_id)
        return info is not None and await self._delete([info]) == 1

    async def delete_all_checkpoints(self, graph_id: str) -> int:
        """Delete all checkpoints of a graph, even those made by hand, and signals sent to it; returns the number of checkpoints.

        Large values that a run may be about to refer to stay; ``remove_orphans`` deletes them. The graph id stays with the
        sequences that were used, so that no run uses them again; ``forget`` removes these, too.
        """
        count = await self._delete(await self.list_checkpoints(graph_id))
        await clear_derived(self.backend, graph_id)
        return count

    async def forget(self, graph_id: str) -> int:
        """Remove every trace of a graph; returns the number of checkpoints.

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
        """Delete checkpoints that are strictly older than the cutoff, even those made by hand; returns their number.

        :param cutoff: aware, or naive for local time.
        :param graph_id: only of this graph; None means all.
        """
        instant = cutoff.astimezone()
        return await self._delete(info for info in await self.list_checkpoints(graph_id) if info.timestamp < instant)

    async def prune(
        self,
        retention: Retention,
        *,
        graph_id: str | None = None,
        dry_run: bool = False,
        branches: Branches = "each",
    ) -> list[CheckpointInfo]:
        """Delete the checkpoints that a retention rule does not keep, as the runs of the graphs would; returns these.

        Checkpoints made by hand, and the latest of each branch of each graph, stay.

        :param graph_id: only of this graph; None means all, each separately.
        :param dry_run: only say what would be deleted.
        :param branches: ``"current"`` deletes all branches of a graph but the one with its latest checkpoint.
        """
        infos = await self.list_checkpoints(graph_id, with_metadata=retention.reads_metadata)
        now, chosen = self._clock.utc_now(), checked_branches(branches)
        to_delete = await surplus_of_graphs(self.backend, infos, retention, now=now, branches=chosen)
        if not dry_run:
            await self._delete(to_delete)
        return to_delete

    async def remove_orphans(self, graph_id: str, *, at_rest: bool = True) -> int:
        """Remove the large values of a graph that no checkpoint needs; returns how many.

        Runs do this by themselves. Use it for what is left if a graph does not run again: call it only while no run of this
        graph is under way, because it deletes what a run may be about to refer to.

        :param at_rest: False when a run may be under way: then only what it can't come to need, as ``verify`` reports it.
        :raises CheckpointDamagedError: a checkpoint can't be read, so that it is not known what it needs. Nothing was removed.
        :raises BackendError: the storage failed.
        """
        orphans = await find_orphans(self.backend, graph_id, at_rest=at_rest)
        return await delete_blobs(self.backend, graph_id, orphans)

    def _editor(self, graph: Wired | None) -> Editor:
        from spark.graphs.checkpoint.editing.editing import Editor  # not needed by those who only run graphs

        return Editor(backend=self.backend, observers=self._observers, clock=self._clock, graph=graph)

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
