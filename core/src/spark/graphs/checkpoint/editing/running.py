"""Does somebody run a graph? Asked before its history is edited, and to ask whoever does to stop."""

from __future__ import annotations

from spark.errors import RunError
from spark.graphs.checkpoint.calls import wrapped
from spark.graphs.checkpoint.derived.claims import Held
from spark.graphs.checkpoint.derived.notices import is_led_here
from spark.graphs.checkpoint.ids import CLAIM, derived_id
from spark.graphs.checkpoint.records.record import Record
from spark.graphs.checkpoint.storage.backend import CheckpointBackend
from spark.graphs.clock import Clock


async def holder(backend: CheckpointBackend, graph_id: str, *, clock: Clock) -> Held | None:
    """Who has claimed a graph, if that claim has not expired."""
    claim = derived_id(CLAIM, graph_id)
    with wrapped(backend, "reading who runs graph ", graph_id):
        header = (await backend.latest_headers([claim])).headers.get(claim)
    held = Held.of(header.metadata, header.timestamp) if header is not None else None
    return held if held is not None and held.is_held(clock.utc_now()) else None


async def check_at_rest(backend: CheckpointBackend, graph_id: str, latest: Record | None, *, clock: Clock) -> None:
    """See that nobody runs a graph, as far as that can be known.

    :param latest: its latest record.
    :raises ClaimedError: somebody has claimed it.
    :raises RunError: a run of it is under way in this process.
    """
    held = await holder(backend, graph_id, clock=clock)
    if held is not None:
        raise held.refused(graph_id)
    if latest is not None and is_led_here(latest.header):
        raise RunError(
            f"Graph {graph_id!r} is being run in this process. Await that run, or stop it with graph.drain(), and edit then. "
            "Nothing was changed."
        )
