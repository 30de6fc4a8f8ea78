"""What users write to be notified of checkpoints, and authors of observers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from spark.graphs.checkpoint.model import GraphCheckpoint

HandlerErrors = Literal["log", "raise"]


class _Nothing:
    def __await__(self) -> Iterator[None]:
        return iter(())


_NOTHING: Final = _Nothing()
"""What the methods below return: whatever overrides one may be plain or ``async``, and may await the one that it overrides."""


class CheckpointHandler:
    """Subclass it and write the methods you need, as ``async def`` or ``def``. They run one after the other, and the run waits.

    A plain method runs in a thread, so that it may block; an ``async`` one in the event loop. What a handler raises,
    ``SystemExit`` included, is logged, or ends the run with ``handler_errors="raise"``. An observer, which a plugin provides
    under a name, can do neither: it is waited for ten seconds at most, and what it raises is logged.
    """

    def on_checkpoint_created(self, checkpoint: GraphCheckpoint) -> Any:
        """Called when a checkpoint is durable. The checkpoint is the handler's own copy."""
        return _NOTHING

    def on_checkpoint_restored(self, checkpoint: GraphCheckpoint) -> Any:
        """Called once, when the first run that continues from a checkpoint starts. The checkpoint is the handler's own copy."""
        return _NOTHING

    def on_checkpoint_deleted(self, checkpoint_id: str) -> Any:
        """Called when a checkpoint was deleted, by hand or by retention."""
        return _NOTHING

    def on_checkpoint_failed(self, graph_id: str, error: BaseException) -> Any:
        """Called when a checkpoint could not be made, with the error that the run is about to raise."""
        return _NOTHING


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
