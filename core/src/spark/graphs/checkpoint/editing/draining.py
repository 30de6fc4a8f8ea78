"""Asking a run to stop that is perhaps in another process."""

from __future__ import annotations

from spark.errors import GraphDefinitionError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.derived.inbox import DRAIN, Inbox
from spark.graphs.checkpoint.editing.running import holder
from spark.graphs.checkpoint.ids import check_graph_id
from spark.graphs.checkpoint.maintenance.runs import run_of
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import Clock

_LONGEST = 200
"""Longer texts are not found without reading the message."""


async def ask_to_drain(backend: CheckpointBackend, graph_id: str, reason: str, *, clock: Clock) -> bool:
    """Ask whoever runs a graph to stop at a boundary; False where nobody seems to run it, and nobody was asked.

    :raises GraphDefinitionError: the reason is no text, or too long.
    """
    if not isinstance(reason, str) or len(reason) > _LONGEST:
        raise GraphDefinitionError(f"drain(reason={str(reason)[:60]!r}): give text of at most {_LONGEST} characters.")
    with wrapped(backend, "looking for the latest run of graph ", check_graph_id(graph_id)):
        latest = (await backend.latest_headers([graph_id])).headers.get(graph_id)
    held, run = await holder(backend, graph_id, clock=clock), None if latest is None else run_of(latest)
    if held is None and (run is None or run.status != "running"):
        return False
    # A run that claims the graph is known by its claim; any other one by its id, and by having begun before this.
    facts = {"why": reason, "sent": clock.utc_now().isoformat()}
    facts |= {"claim": held.id} if held is not None else {"run_id": str(run.run_id) if run is not None else ""}
    await Inbox(backend, graph_id, clock=clock).ask(DRAIN, facts)
    return True
