"""Forks and branches as a tree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spark.graphs.checkpoint import HistoryEntry
from spark_ui.access.lines import Lines
from spark_ui.access.store import Store
from spark_ui.pages.fork_trees import Fork, graphs_of, roots, tree
from spark_ui.pages.paging import page_of
from spark_ui.pages.standing import standing_of
from spark_ui.pages.view import view_of

_TREES: Final = 25
"""Trees on one page."""
_GRAPHS: Final = 100
"""Graphs in one tree."""


async def forks(request: Request) -> Response:
    """The graphs that have branches, or were forked; those that were active last first."""
    view = view_of(request)
    lines, runs = await asyncio.gather(view.store.lines.latest(), view.store.runs.latest())
    text = request.query_params.get("q", "").strip()
    found = [id for id in roots(lines) if text.casefold() in id.casefold()]
    page = page_of(found, request.query_params.get("page", ""), size=_TREES)
    below, now = lines.forks(), view.store.now()
    graphs = {root: graphs_of(root, below, most=_GRAPHS) for root in page.items}
    shown = {id for each in graphs.values() for id, _ in each}
    return view.page(
        request,
        "forks.html",
        text=text,
        page=page,
        trees=[await _tree(view.store, each, lines) for each in graphs.values()],
        standings={run.graph_id: standing_of(run, now=now) for run in runs if run.graph_id in shown},
        has_runs=bool(runs),
    )


async def _tree(store: Store, graphs: Sequence[tuple[str, int]], lines: Lines) -> Fork:
    histories = {id: await _history(store, id, lines) for id, _ in graphs}
    return tree(graphs, histories, lines)


async def _history(store: Store, graph_id: str, lines: Lines) -> Sequence[HistoryEntry]:
    """As it was when it was read, as long as nothing new is known of it."""
    line = lines.of[graph_id]
    key = graph_id, line.newest, len(line.parents)
    return await store.forked.get(key, partial(store.manager.history, graph_id))


routes = [Route("/forks", forks)]
