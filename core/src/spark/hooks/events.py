"""Tell plugins what happened. pluggy knows no async, so each is called and awaited here, one by one."""

from __future__ import annotations

import logging
from typing import Any

from spark.hooks import discovery
from spark.hooks.listener import Listener

_log = logging.getLogger("spark.hooks")


async def fire(event: str, **arguments: Any) -> list[tuple[str, Exception]]:
    """Tell every plugin that listens, one after another; returns what they raised, each with the plugin's name.

    An error is logged, and keeps neither the others nor the run from going on. The arguments are those of the hook.
    """
    return [
        (listener.plugin, error)
        for listener in listeners(event)
        if (error := await _tell(listener, event, arguments)) is not None
    ]


def listeners(event: str) -> tuple[Listener, ...]:
    """Who wants to be told of an event: after the first call, a look into a dict. The first call loads the plugins.

    :raises KeyError: there is no such event.
    """
    return discovery.found().listeners[event]


async def _tell(listener: Listener, event: str, arguments: dict[str, Any]) -> Exception | None:
    try:
        await listener.tell(arguments)
    except Exception as error:
        _log.exception("The %s raised in its hook %s; the run goes on.", listener.plugin, event)
        return error
    return None
