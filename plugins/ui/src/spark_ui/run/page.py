"""One run: its graph, its history and its state, as they stand now or stood at any of its checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from spark.errors import CheckpointNotFoundError, SparkError
from spark.graphs.checkpoint import GraphCheckpoint
from spark.graphs.checkpoint.storage import SECTIONS
from spark_ui.addresses import from_segment, number_of, run_path
from spark_ui.pages.standing import standing_of
from spark_ui.pages.view import View, view_of
from spark_ui.run.drawing import drawn
from spark_ui.views.changed import Part
from spark_ui.views.commands import Commands
from spark_ui.views.moment import Moment, Position, moment_of, position_of
from spark_ui.views.past import Past
from spark_ui.views.search import Found, search
from spark_ui.views.tree import opened
from spark_ui.views.values import preview

DONE: Final = {
    "answer": "The answer is stored. A run in progress takes it; otherwise resume the run.",
    "send": "The signal is stored. A step that waits for it gets it, now or when the graph runs.",
    "edit": "The edit is stored, as a new checkpoint. The next resume continues from it.",
    "fork": "This is the fork. Resume it with the graph id in the program.",
    "drain": "The run is asked to stop. It does so at its next boundary.",
    "delete": "The checkpoint is deleted.",
}
"""What is said once something was done."""


async def run(request: Request) -> Response:
    """The run of one graph id; with ``?at=12`` as it stood at that checkpoint."""
    graph_id, histories = graph_id_of(request), view_of(request).store.histories
    try:
        return await _moment(request, graph_id, await histories.past(graph_id))
    except CheckpointNotFoundError:  # deleted since its history was read
        return await _moment(request, graph_id, await histories.past(graph_id, anew=True))


async def _moment(request: Request, graph_id: str, past: Past) -> Response:
    view, query = view_of(request), request.query_params
    if not len(past):
        return nothing_of(request, graph_id)
    place, is_gone = place_in(past, query.get("at", ""))
    position = position_of(past, place)
    show = query["show"] if query.get("show") in ("tree", "changes") else "changes"
    common: dict[str, Any] = {
        **await frame(view, graph_id, past, tab="run", position=position, done=query.get("done", "")),
        "show": show,
        "is_gone": is_gone,
        "is_following": "at" not in query,
        "commands": Commands(view.store.name, graph_id),
        "answered": view.answered,
    }
    try:
        histories = view.store.histories
        checkpoint = await (histories.checkpoint if show == "tree" else histories.outline)(position.entry)
    except CheckpointNotFoundError:
        raise
    except SparkError as error:  # the others of its history can be looked at nevertheless
        return view.page(request, "run/damaged.html", error=str(error), **common)
    standing = common["standing"]
    is_silent = position.is_latest and standing is not None and standing.kind == "silent"
    moment = moment_of(checkpoint, position, done=past.nodes_until(place), is_silent=is_silent)
    shown = await _shown(request, view, checkpoint, moment) if show == "tree" else {}
    parts, no_parts = await changes_at(view, position) if show == "changes" else ([], "")
    # In a thread: the layout of a large graph takes half a second, the first time.
    graph = await asyncio.to_thread(drawn, moment.topology, moment.work, label=f"The graph of {graph_id}")
    return view.page(
        request,
        "run/run.html",
        moment=moment,
        parts=parts,
        no_parts=no_parts,
        graph=graph,
        preview=preview,
        damaged=checkpoint.damaged,
        **shown,
        **common,
    )


async def history(request: Request) -> Response:
    """The history as columns, for the slider: what came after ``?after=12``."""
    past = await view_of(request).store.histories.past(graph_id_of(request))
    return JSONResponse(past.to_data(after=number_of(request.query_params.get("after", "")) or 0))


async def changes_at(view: View, position: Position) -> tuple[Sequence[Part], str]:
    """What changed since the checkpoint before, and why that can't be said, if it can't."""
    if position.before is None:
        return [], ""
    try:
        return await view.store.histories.changes(position.before, position.entry), ""
    except CheckpointNotFoundError:
        raise
    except SparkError as error:
        return [], str(error)


async def frame(
    view: View, graph_id: str, past: Past, *, tab: str, position: Position, crumb: str = "", done: str = ""
) -> dict[str, Any]:
    """What the pages of one run have in common.

    :param crumb: the name of a page below that of the run.
    :param done: the name of what was done a moment ago.
    """
    found = await view.store.manager.runs(prefix=graph_id, limit=1)
    latest = found[0] if found and found[0].graph_id == graph_id else None
    return {
        "graph_id": graph_id,
        "here": run_path(graph_id),
        "crumbs": crumbs(graph_id, *([("", crumb)] if crumb else [])),
        "tab": tab,
        "past": past,
        "position": position,
        "done": DONE.get(done),
        "latest": latest,
        "standing": standing_of(latest, now=view.store.now()) if latest is not None else None,
    }


def place_in(past: Past, at: str) -> tuple[int, bool]:
    """The place of the checkpoint that an address names, and whether that one is gone: then it is the one before it."""
    sequence = number_of(at)
    if sequence is None:
        return len(past) - 1, False
    place = past.place_of(sequence)
    if place is not None:
        return place, False
    return max(0, sum(1 for each in past.sequences if each <= sequence) - 1), True


def graph_id_of(request: Request) -> str:
    """The graph id that the address names.

    :raises HTTPException: the address can't be that of a graph.
    """
    try:
        return from_segment(request.path_params["graph"])
    except ValueError:
        raise HTTPException(404) from None


def nothing_of(request: Request, graph_id: str) -> Response:
    """The answer where a graph id has no checkpoints."""
    if request.query_params.get("done") == "forget":
        title, text = "Forgotten", f"Nothing is left of graph {graph_id!r}. A run under this id starts from scratch."
    else:
        title = "No such graph"
        text = f"The store has no checkpoints of a graph {graph_id!r}. It may not have run yet, or it was forgotten."
    return view_of(request).page(request, "failure.html", status=404, title=title, text=text)


def crumbs(graph_id: str, *more: tuple[str, str]) -> Sequence[tuple[str, str]]:
    """Where the page is among the others."""
    return [("/", "Runs"), (run_path(graph_id) if more else "", graph_id), *more]


def sections_of(checkpoint: GraphCheckpoint) -> dict[str, Any]:
    """All of it by section, as the tree shows it."""
    sections = {name: getattr(checkpoint, name) for name in SECTIONS}
    return {name: value for name, value in sections.items() if value is not None}


async def searched(request: Request, root: dict[str, Any]) -> Found:
    """What a search finds of a checkpoint: ``?q=words``, and where it continues, ``&after=0.3.7``."""
    query = request.query_params
    words, seen = query.get("q", "").strip(), number_of(query.get("seen", "")) or 0
    return await asyncio.to_thread(search, root, words, after=query.get("after", ""), seen=seen)


async def _shown(request: Request, view: View, checkpoint: GraphCheckpoint, moment: Moment) -> dict[str, Any]:
    query, root = request.query_params, sections_of(checkpoint)
    words, address = query.get("q", "").strip(), query.get("open", "")
    found = await searched(request, root) if words else None
    inside = opened(root, address, start=number_of(query.get("start", "")) or 0)
    if inside is None:
        inside, address = opened(root), ""
    return {
        "root": opened(root),
        "inside": inside,
        "address": address,
        "words": words,
        "found": found,
        "sections": root,
    }


routes = [Route("/run/{graph}", run), Route("/run/{graph}/history", history)]
