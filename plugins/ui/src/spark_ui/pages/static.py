"""The style sheet, the script and the icon: read once, so that an address never names a file."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spark_drawing import STYLESHEET

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


async def file(request: Request) -> Response:
    """One of them."""
    name = request.path_params["name"]
    if name not in _FILES:
        raise HTTPException(404)
    return Response(_FILES[name], media_type=_TYPES[name.rpartition(".")[2]])


_FILES: Final = {each.name: each.read_bytes() for each in (files("spark_ui") / "static").iterdir()} | {
    "drawing.css": STYLESHEET.encode()
}

routes = [Route("/static/{name}", file)]
