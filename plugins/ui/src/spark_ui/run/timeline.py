"""The steps and checkpoints of a run over time."""

from __future__ import annotations

import asyncio
import math

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spark.errors import SparkError
from spark_ui.addresses import timeline_path
from spark_ui.pages.view import view_of
from spark_ui.run.page import frame, graph_id_of, nothing_of
from spark_ui.views.journal import Journal
from spark_ui.views.moment import position_of
from spark_ui.views.timeline import drawing


async def timeline(request: Request) -> Response:
    """The timeline of one graph id, from ``?first=`` to ``?last=``."""
    view, graph_id, query = view_of(request), graph_id_of(request), request.query_params
    past = await view.store.histories.past(graph_id)
    if not len(past):
        return nothing_of(request, graph_id)
    try:
        latest = await view.store.histories.outline(past.entries[-1])
        waits = Journal.of(latest.pending()).waits
    except SparkError:  # headers are all that it needs
        waits = ()
    by_step = query.get("axis") == "steps"
    drawn = await asyncio.to_thread(
        drawing,
        past,
        now=view.store.now(),
        first=_number(query.get("first", "")),
        last=_number(query.get("last", "")),
        waits=waits,
        by_step=by_step,
    )
    return view.page(
        request,
        "run/timeline.html",
        address=timeline_path(graph_id),
        **await frame(
            view, graph_id, past, tab="timeline", position=position_of(past, len(past) - 1), crumb="Timeline"
        ),
        drawn=drawn,
        by_step=by_step,
        is_whole="first" not in query and "last" not in query,
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


routes = [Route("/run/{graph}/timeline", timeline)]
