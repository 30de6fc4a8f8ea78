"""A server on this machine's loopback address, from the first line it prints to Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import webbrowser
from typing import Final

import uvicorn
from starlette.applications import Starlette

from spark.errors import SparkError
from spark.graphs.checkpoint import CheckpointBackend, CheckpointConfig, open_backend
from spark.hooks import redact
from spark_ui.app import create_app
from spark_ui.security import new_token

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = 4730
"""Taken where none is given, so that a tab still works after a restart; where it is in use, a free one."""
_GRACE: Final = 1
"""Seconds that answers under way get when the server ends."""


class WrongUsage(Exception):
    """The command was not written as it should be."""


def serve(url: str, *, port: int | None, open_browser: bool, allow_changes: bool) -> int:
    """Serve a store until Ctrl-C; returns the exit code: 0, or 2 where there is nothing to serve or no port.

    :param url: the store; an empty one means that of the settings in force.
    :param port: None takes the usual one, or a free one.
    """
    try:
        asyncio.run(_serve(url, port=port, open_browser=open_browser, allow_changes=allow_changes))
    except WrongUsage as error:
        print(f"spark: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


async def _serve(url: str, *, port: int | None, open_browser: bool, allow_changes: bool) -> None:
    sys.path.append(os.getcwd())  # last: plugins that the settings name may be there, and stand in for nothing
    backend = _opened(url)
    try:
        await _look(backend)
        token = new_token()
        app = create_app(backend, token=token, name=url, allow_changes=allow_changes)
        with _listening(port) as listener:
            address = f"http://{HOST}:{listener.getsockname()[1]}/?token={token}"
            print(f"Open {address}\nCtrl-C ends it.", flush=True)
            if open_browser:
                webbrowser.open(address)
            await new_server(app).serve(sockets=[listener])
    finally:
        await backend.close()


def _opened(url: str) -> CheckpointBackend:
    try:
        backend = open_backend(url, create=False) if url else CheckpointConfig.load_backend(create=False)
    except (SparkError, ValueError) as error:
        raise WrongUsage(f"{redact(url)!r} is not a store: {error}" if url else str(error)) from None
    if backend is None:
        raise WrongUsage("no store was chosen. Give --url, set SPARK_CHECKPOINT_URL, or set url in spark.toml.")
    return backend


async def _look(backend: CheckpointBackend) -> None:
    """Read a little, so that a store that can't be read is said in the terminal, before a browser opens."""
    try:
        await backend.graph_ids(limit=1)
    except SparkError as error:
        raise WrongUsage(str(error)) from None


def _listening(port: int | None) -> socket.socket:
    """A socket on the loopback address only.

    :raises WrongUsage: that port is in use.
    """
    try:
        return socket.create_server((HOST, USUAL_PORT if port is None else port))
    except OSError as error:
        if port is None:
            return socket.create_server((HOST, 0))
        raise WrongUsage(
            f"port {port} can't be used: {os.strerror(error.errno or 0)}. Give another --port, or none."
        ) from None


def new_server(app: Starlette) -> uvicorn.Server:
    """What serves the application, and says nothing unless something is wrong; open connections do not hold up its end."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=_GRACE,
        )
    )
