"""Parts of a checkpoint, fetched when they are opened: children, windows of long texts, values to copy."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from spark.graphs.checkpoint import RawObject
from spark_ui.addresses import number_of, run_path
from spark_ui.pages.view import view_of
from spark_ui.run.page import graph_id_of, searched, sections_of
from spark_ui.views.tree import opened, value_at

_MOST_COPIED: Final = 2_000_000
"""Characters."""


async def branch(request: Request) -> Response:
    """What is in one value, from one of its children on."""
    root, query = await _root(request), request.query_params
    inside = opened(root, query.get("open", ""), start=number_of(query.get("start", "")) or 0)
    if inside is None:
        raise HTTPException(404)
    return view_of(request).page(
        request,
        "run/branch.html",
        inside=inside,
        at=request.path_params["sequence"],
        here=run_path(graph_id_of(request)),
    )


async def found(request: Request) -> Response:
    """What a search of the checkpoint finds."""
    result = await searched(request, await _root(request))
    return view_of(request).page(
        request,
        "run/found.html",
        found=result,
        words=request.query_params.get("q", "").strip(),
        at=request.path_params["sequence"],
        here=run_path(graph_id_of(request)),
    )


async def value(request: Request) -> Response:
    """One value as text to copy: a text as it is, everything else as JSON."""
    place = value_at(await _root(request), request.query_params.get("open", ""))
    if place is None:
        raise HTTPException(404)
    text = await asyncio.to_thread(_copied, place[1])
    if len(text) > _MOST_COPIED:
        return PlainTextResponse("This value is too large to copy. Use spark checkpoints show --path.", 413)
    return PlainTextResponse(text.encode("utf-8", "backslashreplace"))


def _copied(found: Any) -> str:
    return (
        found
        if isinstance(found, str)
        else json.dumps(RawObject("", found).to_data()["value"], indent=2, ensure_ascii=False)
    )


async def _root(request: Request) -> dict[str, Any]:
    histories = view_of(request).store.histories
    past = await histories.past(graph_id_of(request))
    sequence = number_of(request.path_params["sequence"])
    place = past.place_of(sequence) if sequence is not None else None
    if place is None:
        raise HTTPException(404)
    return sections_of(await histories.checkpoint(past.entries[place]))


routes = [
    Route("/run/{graph}/at/{sequence}/branch", branch),
    Route("/run/{graph}/at/{sequence}/search", found),
    Route("/run/{graph}/at/{sequence}/value", value),
]
