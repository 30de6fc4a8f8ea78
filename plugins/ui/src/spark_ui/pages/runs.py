"""All runs: the latest of each graph id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spark_ui.access.store import Store
from spark_ui.pages.run_query import BY_SIZE, Row, RunQuery, found, matching
from spark_ui.pages.view import view_of


async def runs(request: Request) -> Response:
    """One row for each graph id, a hundred on a page."""
    view = view_of(request)
    query = RunQuery.of(request.query_params)
    latest = await view.store.runs.latest()
    rows = matching(latest, query, now=view.store.now())
    if query.sort in BY_SIZE:
        rows = await _with_sizes(view.store, rows)
    page = found(rows, query)
    items = page.page.items if query.sort in BY_SIZE else await _with_sizes(view.store, page.page.items)
    return view.page(
        request,
        "runs.html",
        query=query,
        found=replace(page, page=replace(page.page, items=_with_origins(view.store, items))),
        is_empty=not latest,
        measuring=view.store.sizes.left if query.sort in BY_SIZE else 0,
    )


async def _with_sizes(store: Store, rows: Sequence[Row]) -> list[Row]:
    sizes = await store.sizes.of([row.run for row in rows])
    return [
        replace(row, checkpoints=size.checkpoints + size.damaged, bytes=size.bytes)
        if (size := sizes.get(row.run.graph_id))
        else row
        for row in rows
    ]


def _with_origins(store: Store, rows: Sequence[Row]) -> list[Row]:
    """The rows with what they were forked from, as far as that is known by now."""
    lines = store.lines.known()
    origins = [lines.origin_of(row.run.graph_id) if lines is not None else None for row in rows]
    return [replace(row, origin=origin[0]) if origin else row for row, origin in zip(rows, origins, strict=True)]


routes = [Route("/", runs)]
