"""The way from a form to a change: fill in, look again, confirm, and be sent to a page that shows what came of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from spark.errors import CheckpointConflictError, SparkError
from spark_ui.addresses import run_path
from spark_ui.forms.fields import Field, changed, form_of, json_form, with_errors
from spark_ui.forms.schema import Schema
from spark_ui.pages.view import view_of
from spark_ui.run.page import crumbs
from spark_ui.views.commands import Commands

_LARGEST: Final = 4_000_000
"""Bytes of a form."""
_LONGEST: Final = 4_000
"""Characters of what was filled in, where it is shown once more."""
_MOST_FIELDS: Final = 10_000
_ONCE: Final = "once"
"""The field by which a form is known again that is sent twice, by a double click for instance."""
_BASED_ON: Final = "based_on"
ROOT: Final = "answer"
"""How the names of a form's fields begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that can be done to a run."""

    name: str
    """In addresses, and as what is reported when it is done."""
    title: str
    about: str
    """What it means, for somebody who has not done it before."""
    verb: str
    """On the button that does it."""
    graph_id: str
    schema: Schema | None
    """What has to be filled in; None where nothing has."""
    command: Callable[[Any], str]
    """The command that does the same, for what was filled in."""
    do: Callable[[Any, Mapping[str, str]], Awaitable[str]]
    """Does it; returns the address of the page that shows what came of it. It gets the hidden values as well."""
    template: str
    """The command without values."""
    hidden: Mapping[str, str]
    """Values that go along: which question, based on which checkpoint."""
    is_dangerous: bool = False
    payload: Any = None
    """What is asked, where a question is answered."""
    may_be_json: bool = False
    """The whole may be written as JSON instead."""
    check: Callable[[Any], Mapping[str, str]] | None = None
    """What is wrong with what was filled in, beyond what the schema says: names of fields, and why."""


async def serve(request: Request, change: Change, given: Mapping[str, str]) -> Response:
    """One request of the page of a change.

    :param given: what the form has sent, or the address says.
    """
    if request.method != "POST":
        as_json = given.get("as") == "json"
        return _page(request, change, _form(change, None, as_json=as_json), change.hidden, as_json=as_json)
    hidden = {name: given.get(name, value) for name, value in change.hidden.items()}
    as_json = given.get("as") == "json" and change.may_be_json
    if pressed := given.get("press"):
        form = _form(change, changed(given, pressed=pressed), as_json=as_json)
        return _page(request, change, form.quiet(), hidden, as_json=as_json)
    form = _checked(change, _form(change, given, as_json=as_json))
    if not form.is_fine or "back" in given:
        return _page(request, change, form, hidden, as_json=as_json, status=200 if form.is_fine else 422)
    if given.get("confirmed") != "yes":
        return _confirm(request, change, form, given, hidden)
    view = view_of(request)

    async def do() -> str:
        address = await change.do(form.value, hidden)
        view.store.histories.forget(change.graph_id)
        return f"{address}?{urlencode({'done': change.name})}"

    try:
        return RedirectResponse(await view.sent.get(given.get(_ONCE) or object(), do), 303)
    except CheckpointConflictError as error:
        if _BASED_ON not in hidden:
            return _page(request, change, form, hidden, as_json=as_json, status=409, error=str(error))
        error_text = (  # to send it again means: based on what is there now
            f"The run has moved on since you opened this page. {error} Look at the new state, and send it again."
        )
        return _page(request, change, form, change.hidden, as_json=as_json, status=409, error=error_text)
    except SparkError as error:
        return _page(request, change, form, hidden, as_json=as_json, status=422, error=str(error))


async def sent_before(request: Request, given: Mapping[str, str]) -> Response | None:
    """The same answer again, where this form was sent before and has changed something; else None."""
    sent, once = view_of(request).sent, given.get(_ONCE, "")
    if request.method != "POST" or "confirmed" not in given or once not in sent:
        return None
    with suppress(SparkError):  # the first one was refused: then this one is served as if there was none
        return RedirectResponse(await sent.get(once, _never), 303)
    return None


async def _never() -> str:
    raise AssertionError("it is there")


async def posted_or_asked(request: Request) -> Mapping[str, str]:
    """What the form has sent; of a page that is only opened, what its address says."""
    return await posted(request) if request.method == "POST" else dict(request.query_params)


async def posted(request: Request) -> dict[str, str]:
    """What a form has sent, by name; of several with one name the last.

    :raises HTTPException: it is too large, or not a form of this view.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            raise HTTPException(413)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(400) from None
    given = {name: value.replace("\r\n", "\n") for name, value in pairs}
    if not view_of(request).is_own_form(given.pop("form_token", "")):
        raise HTTPException(403)
    return given


def _form(change: Change, given: Mapping[str, str] | None, *, as_json: bool) -> Field:
    if change.schema is None:
        return Field(ROOT, "group", "", value={})
    if as_json and change.may_be_json:
        return json_form(change.schema, given.get(ROOT, "") if given is not None else None, name=ROOT, title="As JSON")
    return form_of(change.schema, given, name=ROOT, title=change.title)


def _checked(change: Change, form: Field) -> Field:
    return with_errors(form, change.check(form.value)) if change.check is not None and form.is_fine else form


def _page(
    request: Request,
    change: Change,
    form: Field,
    hidden: Mapping[str, str],
    *,
    as_json: bool,
    status: int = 200,
    error: str = "",
) -> Response:
    if change.schema is None:
        return _confirm(request, change, form, {}, hidden, status=status, error=error)
    own = {**hidden, **({"as": "json"} if as_json else {})}
    return view_of(request).page(
        request,
        "change/fill.html",
        status=status,
        form=form,
        hidden=own,
        as_json=as_json,
        error=error,
        **_frame(change),
    )


def _confirm(
    request: Request,
    change: Change,
    form: Field,
    given: Mapping[str, str],
    hidden: Mapping[str, str],
    *,
    status: int = 200,
    error: str = "",
) -> Response:
    kept = {name: text for name, text in given.items() if name not in ("press", "back", "confirmed", _ONCE)}
    return view_of(request).page(
        request,
        "change/confirm.html",
        status=status,
        hidden={**kept, **hidden, _ONCE: token_urlsafe(12)},
        command_text=_command(change, form.value),
        given=_written(form.value),
        error=error,
        **_frame(change),
    )


def _command(change: Change, value: Any) -> str:
    """The command, or how it begins where nobody would type it."""
    text = change.command(value)
    return text if len(text) <= _LONGEST else change.template


def _written(value: Any) -> str:
    """What was filled in, as somebody who confirms it reads it."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _frame(change: Change) -> dict[str, Any]:
    here = run_path(change.graph_id)
    return {
        "change": change,
        "graph_id": change.graph_id,
        "here": here,
        "crumbs": crumbs(change.graph_id, ("", change.title)),
    }


def read_only(request: Request, graph_id: str) -> Response:
    """The answer where this view changes nothing: the page of the commands."""
    return RedirectResponse(f"{run_path(graph_id)}/commands", 303)


def commands_of(request: Request, graph_id: str) -> Commands:
    """The commands for a graph of the store that is shown."""
    return Commands(view_of(request).store.name, graph_id)
