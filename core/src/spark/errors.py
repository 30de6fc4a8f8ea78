"""Every error the project raises: one small family, one child for each verb that can fail.

A message says what was tried, on which id, by which plugin, and what to do next. Errors of other libraries are wrapped
once, at the border, and stay reachable as ``__cause__``.
"""

from collections.abc import Sequence
from datetime import datetime

__all__ = [
    "BackendError",
    "BudgetExceededError",
    "CheckpointConflictError",
    "CheckpointDamagedError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "CheckpointVersionError",
    "ClaimedError",
    "ConditionError",
    "DeletionError",
    "DeserializationError",
    "DurableCallError",
    "ExecutorError",
    "GraphDefinitionError",
    "GraphRestoreError",
    "InputConflictError",
    "InvalidIdError",
    "MapError",
    "NodeError",
    "PluginBrokenError",
    "PluginConflictError",
    "PluginError",
    "PluginNotFoundError",
    "PluginWarning",
    "RemoteError",
    "RuleError",
    "RunError",
    "SequenceTakenError",
    "SerializationError",
    "SignalTimeoutError",
    "SparkError",
    "SparkWarning",
    "StateConflictError",
    "StepSuspended",
    "StepTimeoutError",
    "StoreNotFoundError",
    "WorkerLostError",
]


class SparkError(Exception):
    """The base of every error raised by spark-graphs and its plugins."""

    def __str__(self) -> str:
        # KeyError, a second base of one child, would print the repr of its message.
        return str(self.args[0]) if self.args else ""


class GraphDefinitionError(SparkError, ValueError):
    """A graph, node, edge or configuration can't be built as written."""


class RunError(SparkError, RuntimeError):
    """This can't be done now: a run is under way, unfinished work would be lost, or the step it belongs to has ended."""


class InputConflictError(RunError):
    """The run to resume was started with inputs other than those that were given."""


class ClaimedError(RunError):
    """Another process runs this graph id: its ``owner``, ``since`` when, and when its claim ``expires`` if the process is
    gone."""

    def __init__(
        self,
        message: str,
        *,
        owner: str | None = None,
        since: datetime | None = None,
        expires: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.owner = owner
        self.since = since
        self.expires = expires


class NodeError(SparkError, RuntimeError):
    """A node does what a node can't do; the message says what, and what to do instead.

    For instance, it lets the ``CancelledError`` of one of its own tasks escape, which is chained then; it catches
    ``StepSuspended``; or it makes durable calls other than those that are recorded.
    """


class DurableCallError(SparkError, RuntimeError):
    """A durable call had failed, which was recorded, and an error of the original type can't be created here.

    ``type`` names what it was, ``"module:Class"``, and ``message`` is what that said.
    """

    def __init__(self, text: str, *, type: str = "", message: str = "") -> None:
        super().__init__(text)
        self.type = type
        self.message = message


class ExecutorError(SparkError, RuntimeError):
    """An executor could not execute a step, or could not return its result: a failed attempt, which may be retried."""


class WorkerLostError(ExecutorError):
    """The worker that executed a step is gone: killed, out of memory, or on a machine that no longer answers."""


class RemoteError(SparkError, RuntimeError):
    """A node failed in a worker with an error whose type can't be created here.

    ``type`` names what it was, ``"module:Class"``, and ``message`` is what that said.
    """

    def __init__(self, text: str, *, type: str = "", message: str = "") -> None:
        super().__init__(text)
        self.type = type
        self.message = message


class RuleError(SparkError):
    """A trigger, a retention rule or a rule for retries raised; it is named and the cause chained. Nothing committed is lost."""


class ConditionError(SparkError):
    """The condition of an edge raised; the edge is named and the cause chained."""


class MapError(SparkError):
    """The output of a node lacks the list that an edge maps over; the node, the key and what was found are named."""


class StateConflictError(SparkError):
    """Two parallel branches read and then set one key: the second commit would have lost the first one's value."""


class SignalTimeoutError(SparkError, TimeoutError):
    """No message reached a step within the ``timeout`` of ``context.wait_for``, which has no ``default``."""


class StepTimeoutError(SparkError, TimeoutError):
    """An execution of a node took longer than its ``timeout``, or gave no sign of life for its ``idle_timeout``."""


class StepSuspended(BaseException):
    """What ends a step that waits for something outside, such as an answer. Nothing but the engine catches it.

    It is no ``Exception``, so that ``except Exception`` in a node lets it pass, as it does with ``CancelledError``.
    """


class BudgetExceededError(SparkError, TimeoutError):
    """A run reached a limit of its task's budget; a checkpoint was made before this was raised."""


class CheckpointError(SparkError):
    """The base of everything that can go wrong with a checkpoint."""


class InvalidIdError(CheckpointError, ValueError):
    """A checkpoint id or graph id can't be used; nothing was read or written."""


class SerializationError(CheckpointError, TypeError):
    """A value can't be saved. Nothing was written.

    ``path`` leads to the value, for instance ``graph_state['a'][3].b``.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class DeserializationError(CheckpointError, ValueError):
    """A checkpoint is intact, but a value in it can't be rebuilt here: its type is not known to this program."""


class CheckpointDamagedError(CheckpointError, ValueError):
    """What is stored is not what was written: a checksum, a length or the structure is wrong."""


class CheckpointNotFoundError(CheckpointError, KeyError):
    """No checkpoint has this id."""


class CheckpointConflictError(CheckpointError):
    """Somebody else continued this graph id in the same store; this writer stops so that history can't fork unnoticed."""


class SequenceTakenError(CheckpointError):
    """Raised by a backend's ``put``: the (graph id, sequence) of the record is in use, or was used once and deleted."""


class CheckpointVersionError(CheckpointError):
    """A checkpoint was written in a major format version that this release can neither read nor migrate."""


class GraphRestoreError(CheckpointError):
    """A checkpoint needs a node, an edge or a condition that can't be supplied here; says which, and what to pass."""


class BackendError(CheckpointError):
    """The storage failed: disk full, permission denied, connection lost. The cause is chained."""


class StoreNotFoundError(BackendError):
    """There is no store at this URL, and none was to be created (``create=False``); says what is there instead."""


class DeletionError(BackendError):
    """The storage failed while several checkpoints were being deleted.

    ``deleted`` has the sequences that were deleted nevertheless; read the store later to find out whether the others exist.
    """

    def __init__(self, message: str, *, deleted: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.deleted: list[int] = list(deleted)


class PluginError(SparkError):
    """The base of everything that can go wrong with finding and loading plugins."""


class PluginNotFoundError(PluginError, LookupError):
    """No installed plugin provides this name or URL scheme; says what is installed and what to ``pip install``."""


class PluginConflictError(PluginError):
    """Two plugins provide one name, or a plugin is registered under a name that is taken; names both, and the setting that
    decides."""


class PluginBrokenError(PluginError):
    """A plugin, or a part of one, can't be used: its import failed, a hook or spec is wrong, or its API version does not fit."""


class SparkWarning(UserWarning):
    """The base of every warning issued by spark-graphs."""


class PluginWarning(SparkWarning):
    """A plugin, or a part of one, was skipped, or a setting names a plugin that is not installed."""
