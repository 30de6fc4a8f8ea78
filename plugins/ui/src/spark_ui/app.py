"""The view as an ASGI application: which page is at which address, and what stands before and beneath all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware

from spark.errors import GraphDefinitionError, SparkError
from spark.graphs.checkpoint import CheckpointBackend
from spark_ui.access.store import Store, utc_now
from spark_ui.changing import pages as changing
from spark_ui.pages import failures, forks, health, runs, static
from spark_ui.pages.view import View
from spark_ui.run import page as run
from spark_ui.run import timeline, tree
from spark_ui.security import Gate


def create_app(
    store: CheckpointBackend | str,
    *,
    token: str,
    name: str = "",
    allow_changes: bool = False,
    clock: Callable[[], datetime] = utc_now,
) -> Starlette:
    """The view of one store as an application for a server that listens on a loopback address.

    :param store: the backend, which the caller closes; or its URL, opened when the server begins and closed when it ends.
    :param token: the secret text that opens the pages; 16 characters at least.
    :param name: what pages call the store; by default its URL. It is shown without passwords.
    :param allow_changes: whether pages can change what is stored. Without it, there is no address that changes anything.
    :param clock: the present, in UTC.
    :raises GraphDefinitionError: the token is too short to be a secret.
    """
    if len(token) < 16:
        raise GraphDefinitionError("create_app(token=…): a token this short can be guessed. Use spark_ui.new_token().")
    opened = Store(store, name=name, clock=clock)
    app = Starlette(
        routes=[
            *runs.routes,
            *run.routes,
            *tree.routes,
            *timeline.routes,
            *changing.routes,
            *forks.routes,
            *health.routes,
            *static.routes,
        ],
        middleware=[
            Middleware(Gate, token=token, allow_changes=allow_changes),
            # Inside the gate, so that its page is as strict as all others.
            Middleware(ServerErrorMiddleware, handler=failures.broken),
        ],
        exception_handlers={HTTPException: failures.refused, SparkError: failures.failed},
        lifespan=_reading(opened),
    )
    app.state.view = View(opened, token=token, allow_changes=allow_changes)
    return app


def _reading(store: Store) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            store.runs.known()  # begins to read them, before the first reader asks
            yield
        finally:
            await store.close()

    return lifespan
