"""What travels between a run and the workers that execute its steps: plain data that any transport can pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from spark.graphs.executors.references import NodeReference
from spark.graphs.executors.values import Sent

Message: TypeAlias = tuple[Any, ...]
"""What a step tells or asks while it runs: its kind, and what belongs to that. Made of texts, numbers and ``Sent``."""

BEAT: Final = "beat"
"""Told: a sign of life."""
EMIT: Final = "emit"
"""Told, or asked where the step waits until there is room: a value for those who watch the run."""
ROOM: Final = "room"
"""Asked: wait until those who watch have caught up."""
READ: Final = "read"
"""Asked: the value of a state, by its scope and key."""
ARGUMENTS: Final = "arguments"
"""Asked: what the node was made with, or the packed node, where a worker needs it for the first time."""
KEYS: Final = "keys"
"""Asked: the keys of a state, by its scope."""
NOW: Final = "now"
"""Asked: the time of the run, in seconds since 1970."""
CALL: Final = "call"
"""Asked where observers do something around durable calls: one begins, by a number and its key."""
CALLED: Final = "called"
"""Told: that call has ended, by its number, whether it was cancelled, and what it raised."""
PREPARE: Final = "prepare"
"""Asked: let the store know the run, before a durable call is made."""
RECORD: Final = "record"
"""Asked: keep an entry of the journal."""
COMMIT: Final = "commit"
"""Asked: commit what the step has written so far."""

GRAPH_STATE: Final = "graph"
NODE_STATE: Final = "node"
"""The two scopes of state that a step sees."""

FINISHED: Final = "finished"
FAILED: Final = "failed"
SUSPENDED: Final = "suspended"
CANCELLED: Final = "cancelled"
"""How a step ends."""


class StepInput(NamedTuple):
    """One execution of one node, as plain data."""

    token: str
    """The id of the pending work that is executed."""
    attempt: int
    """1 for the first execution; one more after each that failed."""
    node: NodeReference
    key: str
    """The key of the node in its graph."""
    graph_id: str
    run_id: str
    iteration: int
    idempotency_key: str
    """Names this piece of work: the same for each attempt, another for every other step and run."""
    lineage: int
    """What that key is made of."""
    deadline: float | None
    """Seconds that the execution may take from when it begins; None for no limit. The engine sees to it, too."""
    codec: Mapping[str, Any]
    """How values are encoded: the format and the serializer of the graph, by name and options."""
    given: Sent
    """What arrived, the place in a map, the state that the step is expected to read, and what it was told before."""
    is_async: bool = False
    """The node is an async one, many of which can share an event loop."""
    is_timed: bool = False
    """Its time is limited: ``StepChannel.began`` has to be told. For the others it may be left out."""
    is_checked: bool = False
    """The graph makes checkpoints: what the step writes has to be of values that can be saved."""
    is_watched: bool = False
    """Somebody sees what the step emits."""
    has_inbox: bool = False
    """Messages that are sent to the graph can reach it."""
    around: Mapping[str, Mapping[str, str]] | None = None
    """What observers have entered around the node in the worker: the name of a function to the texts that it is called with. None
    if no observer does anything around steps and durable calls."""


class StepResult(NamedTuple):
    """How one execution ended, as plain data."""

    token: str
    attempt: int
    """Of the ``StepInput`` that it belongs to; a result of another one is dropped."""
    kind: str
    """``"finished"``, ``"failed"``, ``"suspended"`` or ``"cancelled"``."""
    content: Sent | None = None
    """The output and the writes of a step that has finished, or what a suspended one waits for."""
    error: Mapping[str, Any] | None = None
    """Of a step that has failed: type, message, arguments and stack of what it raised."""
