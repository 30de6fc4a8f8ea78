"""The pages that change a run, and the page of the commands that do the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spark.errors import CheckpointDamagedError
from spark.graphs.checkpoint import HistoryEntry
from spark_ui.addresses import number_of
from spark_ui.changing import kinds
from spark_ui.changing.flow import Change, commands_of, posted_or_asked, read_only, sent_before, serve
from spark_ui.pages.view import view_of
from spark_ui.run.page import frame, graph_id_of, nothing_of, place_in
from spark_ui.views.journal import Journal, Question
from spark_ui.views.moment import position_of
from spark_ui.views.past import Past


async def commands(request: Request) -> Response:
    """All that can be done to a run, and the commands that do it."""
    view, graph_id = view_of(request), graph_id_of(request)
    past = await view.store.histories.past(graph_id)
    if not len(past):
        return nothing_of(request, graph_id)
    name = "Change" if view.allow_changes else "Commands"
    return view.page(
        request,
        "change/commands.html",
        **await frame(view, graph_id, past, tab="commands", position=position_of(past, len(past) - 1), crumb=name),
        commands=commands_of(request, graph_id),
        journal=await _journal(request, past),
        answered=view.answered,
    )


async def answer(request: Request, asked: Any, past: Past) -> Change:
    question = _question((await _journal(request, past)).questions, asked.get("question", ""))
    return kinds.answer(*_common(request), question, view_of(request).answered)


async def send(request: Request, asked: Any, past: Past) -> Change:
    return kinds.send(*_common(request), request.query_params.get("name", ""))


async def edit(request: Request, asked: Any, past: Past) -> Change:
    return kinds.edit(*_common(request), past.entries[-1], await _nodes(request, past.entries[-1]))


async def fork(request: Request, asked: Any, past: Past) -> Change:
    entry = _entry(past, asked)
    return kinds.fork(*_common(request), entry, await _nodes(request, entry))


async def drain(request: Request, asked: Any, past: Past) -> Change:
    return kinds.drain(*_common(request))


async def delete(request: Request, asked: Any, past: Past) -> Change:
    return kinds.delete(*_common(request), _entry(past, asked))


async def forget(request: Request, asked: Any, past: Past) -> Change:
    return kinds.forget(*_common(request), past.entries)


def _page(make: Callable[[Request, Any, Past], Any]) -> Callable[[Request], Any]:
    async def page(request: Request) -> Response:
        graph_id = graph_id_of(request)
        if not view_of(request).allow_changes:
            return read_only(request, graph_id)
        asked = await posted_or_asked(request)
        if (answered := await sent_before(request, asked)) is not None:
            return answered
        past = await view_of(request).store.histories.past(graph_id, anew=True)
        if not len(past):
            return nothing_of(request, graph_id)
        return await serve(request, await make(request, asked, past), asked)

    return page


def _common(request: Request) -> tuple[Any, Any, str]:
    graph_id = graph_id_of(request)
    return view_of(request).store.manager, commands_of(request, graph_id), graph_id


def _entry(past: Past, asked: Any) -> HistoryEntry:
    """The checkpoint that is named, and no other one; without a name the latest."""
    at = asked.get("at", "")
    place, is_gone = place_in(past, at)
    if is_gone or (at and number_of(at) is None) or past.entries[place].checkpoint_id is None:
        raise HTTPException(404, "There is no such checkpoint any more, or it can't be read. Choose another one.")
    return past.entries[place]


async def _journal(request: Request, past: Past) -> Journal:
    try:
        checkpoint = await view_of(request).store.histories.outline(past.entries[-1])
    except CheckpointDamagedError:  # what else can be done to the run is shown nevertheless
        return Journal()
    return Journal.of(checkpoint.pending())


async def _nodes(request: Request, entry: HistoryEntry) -> list[str]:
    checkpoint = await view_of(request).store.histories.outline(entry)
    nodes = (checkpoint.topology or {}).get("nodes")
    return [str(node.get("key")) for node in nodes if isinstance(node, dict)] if isinstance(nodes, list | tuple) else []


def _question(questions: tuple[Question, ...], id: str) -> Question:
    for question in questions:
        if question.id == id:
            return question
    raise HTTPException(
        404, "This question is not open any more. It was answered, or the run has continued without it."
    )


routes = [
    Route("/run/{graph}/commands", commands),
    *(
        Route(f"/run/{{graph}}/{make.__name__}", _page(make), methods=["GET", "POST"])
        for make in (answer, send, edit, fork, drain, delete, forget)
    ),
]
