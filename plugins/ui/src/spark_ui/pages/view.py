"""From a template and its values to an answer: the frame that all pages have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from spark_ui.access.kept import Kept
from spark_ui.access.store import Store
from spark_ui.addresses import run_path, timeline_path
from spark_ui.pages.figures import ago, as_filled_in, count, counted, cut, duration, moment, size, spelt, until
from spark_ui.pages.standing import word_of
from spark_ui.security import form_token, is_form_token
from spark_ui.views.reading import readable

_SENT: Final = 1_000
THEMES: Final = ("light", "dark")


class View:
    """Fills templates with what a store holds, so that nothing of it is taken for HTML.

    :param token: the secret text that opens the pages.
    :param allow_changes: whether pages offer to change what is stored.
    """

    def __init__(self, store: Store, *, token: str, allow_changes: bool) -> None:
        self.store = store
        self.allow_changes = allow_changes
        self.sent: Kept[str] = Kept(_SENT)
        """What came of the forms that were sent last: each changes something once, however often it is sent."""
        self.answered: set[tuple[str, str, str]] = set()
        """The questions answered here: graph id, question, and why the answer before was refused. The first answer counts."""
        self._token = token
        self._templates = _templates()
        self._templates.globals |= {
            "store_name": store.name,
            "allow_changes": allow_changes,
            "form_token": form_token(token),
        }

    def page(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        """The page, or 304 where the browser has it as it is: a page that looks for news costs little then."""
        now = self.store.now()
        theme = request.cookies.get("spark_ui_theme", "")
        frame: Mapping[str, Any] = {
            "now": now,
            "theme": theme if theme in THEMES else "auto",
            "path": request.url.path,
            "crumbs": (),
        }
        body = self._templates.get_template(template).render({**frame, **values}).encode()
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        if status == 200 and request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, status, {"ETag": tag}, media_type="text/html")

    def is_own_form(self, given: str) -> bool:
        """Whether a form brings what only those of this view know."""
        return is_form_token(given, token=self._token)


def view_of(request: Request) -> View:
    """The view that the request is for."""
    found: View = request.app.state.view
    return found


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("spark_ui"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=spelt,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"run_path": run_path, "timeline_path": timeline_path, "word": word_of}
    filters = (ago, as_filled_in, count, counted, cut, duration, moment, readable, size, until)
    environment.filters |= {each.__name__: each for each in filters}
    return environment
