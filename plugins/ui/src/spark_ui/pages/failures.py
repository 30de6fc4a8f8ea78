"""What is shown instead of a page: nothing is there, the store can't be read, or the view itself is broken."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from spark.errors import CheckpointDamagedError, CheckpointNotFoundError, InvalidIdError
from spark_ui.pages.view import view_of

_REFUSALS: Final = {
    400: ("Not a form of this view", "What was sent can't be read. Nothing was changed."),
    403: ("Not a form of this view", "Only forms of this view are taken. Open the page again. Nothing was changed."),
    404: ("Not found", "Nothing is at this address."),
    405: ("Not possible", "Nothing can be sent to this address."),
    413: (
        "Too large",
        "A form may have 4 MB at most. Nothing was changed. The command reads larger values from standard input.",
    ),
}
_UNREADABLE: Final = (503, "The store can't be read")
_TITLES: Final[Mapping[type[Exception], tuple[int, str]]] = {
    CheckpointNotFoundError: (404, "Not found"),
    InvalidIdError: (404, "Not found"),
    CheckpointDamagedError: (503, "This checkpoint can't be read"),
}


async def refused(request: Request, error: Exception) -> Response:
    """Nothing is at this address, or what was sent can't be taken."""
    assert isinstance(error, HTTPException)
    title, text = _REFUSALS.get(error.status_code, ("Not possible", "This can't be done here."))
    told = error.detail if error.detail != HTTPStatus(error.status_code).phrase else text
    return view_of(request).page(request, "failure.html", status=error.status_code, title=title, text=told)


async def failed(request: Request, error: Exception) -> Response:
    """The store could not be read, or what is stored can't be shown: the library says why."""
    status, title = next((found for kind, found in _TITLES.items() if isinstance(error, kind)), _UNREADABLE)
    return view_of(request).page(request, "failure.html", status=status, title=title, text=str(error))


async def broken(request: Request, error: Exception) -> Response:
    """A defect of the view. The terminal has the details."""
    text = f"This page can't be shown: {type(error).__name__}. The terminal that runs `spark ui` has the details."
    return view_of(request).page(request, "failure.html", status=500, title="A defect of this view", text=text)
