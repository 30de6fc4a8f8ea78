"""Whether the store is in order, and what takes its room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from spark.graphs.checkpoint import Verification
from spark_ui.access.store import largest_of
from spark_ui.pages.growth import bars
from spark_ui.pages.view import view_of

_SHOWN: Final = 50
"""Findings of one kind on the page."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    graph_id: str
    what: str
    """The checkpoint, or how many large values."""
    why: str = ""


async def health(request: Request) -> Response:
    """Damage, leftovers and growth."""
    view = view_of(request)
    store = view.store
    runs, lines = await asyncio.gather(store.runs.latest(), store.lines.latest())
    sizes = await store.sizes.of(runs)
    result = store.checkup.result
    return view.page(
        request,
        "health.html",
        graphs=len(runs),
        checkpoints=lines.checkpoints,
        bytes=sum(size.bytes for size in sizes.values()),
        unreadable=[run for run in runs if run.status == "damaged"],
        left=store.sizes.left,
        largest=[(run.graph_id, sizes[run.graph_id]) for run in largest_of(runs, sizes)],
        large_checkpoints=lines.largest,
        bars=bars(lines.days, today=store.now().date()),
        checkup=store.checkup,
        result=result,
        findings=_findings(result.found) if result is not None and result.found is not None else {},
        shown=_SHOWN,
    )


async def check(request: Request) -> Response:
    """Begin a checkup, which changes nothing, or stop the one that is under way, for a form of this view."""
    view = view_of(request)
    if not view.is_own_form(request.query_params.get("form_token", "")):
        raise HTTPException(403)
    if request.query_params.get("do") == "stop":
        view.store.checkup.cancel()
    else:
        view.store.checkup.start()
    return RedirectResponse("/health#checkup", 303)


def _findings(found: Verification) -> dict[str, Sequence[Finding]]:
    orphans = Counter(graph_id for graph_id, _ in found.orphans)
    return {
        "damaged": [
            *(Finding(info.graph_id, info.checkpoint_id, str(error)) for info, error in found.damaged),
            *(Finding(each.graph_id or "", f"#{each.sequence}", each.reason) for each in found.unlisted),
        ],
        "unreadable": [Finding(info.graph_id, info.checkpoint_id, str(error)) for info, error in found.unreadable],
        "orphans": [Finding(id, str(number)) for id, number in sorted(orphans.items())],
    }


routes = [Route("/health", health), Route("/health/check", check)]
