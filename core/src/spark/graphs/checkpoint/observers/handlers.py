"""What users write to be notified of checkpoints, and authors of observers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from spark.graphs.concurrency.nothing import NOTHING

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint
    from spark.graphs.events.activity import Activity
    from spark.graphs.events.kinds import Event

HandlerErrors = Literal["log", "raise"]


class CheckpointHandler:
    """Subclass it and write the methods you need, as ``async def`` or ``def``. They run one after the other, and the run
    waits for them, except for ``on_event`` and ``around``.

    A plain method runs in a thread, so that it may block; an ``async`` one in the event loop. What a handler raises,
    ``SystemExit`` included, is logged, or ends the run with ``handler_errors="raise"``. An observer, which a plugin provides
    under a name, can do neither: it is waited for ten seconds at most, and what it raises is logged.
    """

    def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> Any:
        """Called when a checkpoint is durable. The checkpoint is the handler's own copy."""
        return NOTHING

    def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> Any:
        """Called once, when the first run that continues from a checkpoint starts. The checkpoint is the handler's own copy."""
        return NOTHING

    def on_checkpoint_deleted(self, checkpoint_id: str) -> Any:
        """Called when a checkpoint was deleted, by hand or by retention."""
        return NOTHING

    def on_checkpoint_failed(self, graph_id: str, error: BaseException) -> Any:
        """Called when a checkpoint could not be made, with the error that the run is about to raise."""
        return NOTHING

    def on_event(self, event: Event) -> Any:
        """Called for each event of a run, in order, as ``graph.stream`` gives them: see ``spark.graphs.events``.

        It is called beside the run, which does not wait for it, and can't end it: what it raises is logged. If it can't keep up,
        the oldest events are dropped, and the next one says how many. When the run ends, what is left is delivered within ten
        seconds, or not at all.
        """
        return NOTHING

    def watches(self, graph_id: str) -> bool:
        """Whether ``on_event`` and ``around`` are called for a run of this graph, which is about to begin.

        If nobody watches a run, its steps cost nothing more. It is asked once or more for each run, in the event loop: it must be
        quick. What it raises is logged, and means no.
        """
        return True

    def around(self, activity: Activity) -> AbstractContextManager[Any]:
        """Returns what is entered before a run, a step, a durable call or a checkpoint begins, and exited after it has ended.

        That happens in the task in which it runs, so that context variables which are set there are seen by the code of the node,
        and in the thread of a plain one. ``activity.outcome`` and ``activity.error`` say how it ended. It is plain code in the
        event loop: it must be quick. What it raises is logged once, and changes nothing.
        """
        return nullcontext()


OneHandler: TypeAlias = CheckpointHandler | str | Mapping[str, Any]
Handlers: TypeAlias = OneHandler | Sequence[OneHandler]
"""Who is notified: a handler of your own, the name of an observer, ``{name: options}``, or several of these."""


def observer_class(name: str) -> type[CheckpointHandler]:
    """The class of the observer with this name.

    :raises PluginNotFoundError: no plugin provides it.
    :raises PluginConflictError: two do.
    :raises PluginBrokenError: one does, and can't be used.
    """
    from spark.hooks.registry import class_of  # not needed by those who give a handler themselves

    return class_of(("observer", name), base=CheckpointHandler)
