"""What is under way in a run, for those who do something around it, as tracing does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ActivityKind: TypeAlias = Literal["run", "step", "call", "checkpoint"]


@dataclass(slots=True, kw_only=True, eq=False)
class Activity:
    """A run, one execution of a step, a durable call that is made, or a checkpoint that is saved."""

    kind: ActivityKind
    name: str
    """Of a run the graph id; of a step the key of its node; of a call its key; of a checkpoint the reason."""
    graph_id: str
    run_id: str
    iteration: int
    """How many steps had been committed when it began."""
    carrier: dict[str, str] = field(default_factory=dict)
    """Texts that are stored with the run, such as a ``traceparent``, and found here again by whoever resumes it. What is put
    there when the context manager of the run is entered is stored; later changes are not."""
    elsewhere: dict[str, dict[str, str]] | None = None
    """Of a step or call that an executor executes in another process: what is entered around it there. ``"module:function"`` to
    texts; there, the function is called with the texts, and returns a context manager. Put it there when the context manager is
    entered here, for instance to pass on a ``traceparent``. None where the step or call is executed here."""
    node: str | None = None
    """Of a step or call: the key of the node."""
    attempt: int | None = None
    """Of a step or call: 1 for the first execution; one more after each that failed."""
    index: int | None = None
    """Of a step or call: the place, from 0, of the item of a map that it belongs to. None outside."""
    path: tuple[Any, ...] = ()
    """Of a step or call: the item's index, or its key, in each map around it, the outermost first."""
    idempotency_key: str | None = None
    """Of a step or call: the same for each attempt, another for every other step and run."""
    resumed_from: str | None = None
    """Of a run: the id of the checkpoint that it was resumed from."""
    checkpoint_id: str | None = None
    """Of a checkpoint: its id, once it is durable."""
    sequence: int | None = None
    """Of a checkpoint: its place in the history of its graph, once it is durable."""
    bytes: int | None = None
    """Of a checkpoint: the stored size of its record, once it is durable; None if it is not known, as in memory."""
    outcome: str | None = None
    """How it ended, known when the context manager exits: of a run its status; else ``"finished"``, ``"failed"``,
    ``"cancelled"``, or of a step ``"suspended"``. None while it is under way."""
    error: BaseException | None = None
    """What was raised, if it failed."""
