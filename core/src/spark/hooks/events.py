"""Notify plugins of events, one after another: none of them can end a run, nor block it for long.

A plain function is called in a thread of its own, an ``async`` one in a task of its own, which pluggy can't do.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any, Final

from spark.hooks import discovery
from spark.hooks.plugin import Listener

LONGEST: Final = 10.0
"""Seconds that a plugin's function is waited for."""

_log = logging.getLogger("spark.hooks")


async def fire(event: str, /, *, longest: float = LONGEST, **arguments: Any) -> list[tuple[str, BaseException]]:
    """Notify every listener, one after another; returns the errors, each with the plugin's name.

    What a function raises, ``SystemExit`` included, is logged. One that takes longer is left
    behind: the log names the plugin, which is not notified of this event again before that call has ended.

    :param longest: seconds that each function is waited for.
    :param arguments: those of the hook.
    """
    return [
        (listener.plugin, error)
        for listener in listeners(event)
        if (error := await _tell(listener, event, arguments, longest)) is not None
    ]


def listeners(event: str) -> tuple[Listener, ...]:
    """The listeners of an event: after the first call, a look-up in a dict. The first call loads the plugins.

    :raises KeyError: there is no such event.
    """
    return discovery.found().listeners[event]


async def _tell(listener: Listener, event: str, arguments: dict[str, Any], longest: float) -> BaseException | None:
    if listener.late is not None and not (listener.late.done() or listener.late.get_loop().is_closed()):
        _log.warning("The %s is not notified of %s: an earlier call has not ended yet.", listener.plugin, event)
        return TimeoutError(f"an earlier call of {event} has not ended yet")
    call = asyncio.create_task(_outcome(listener, arguments), name=f"{event} of the {listener.plugin}")
    try:
        await asyncio.wait([call], timeout=longest)
    finally:
        if not call.done() and listener.is_async:
            call.cancel()
    if not call.done():
        listener.late = call
        _log.error(
            "The %s took longer than %g s in its hook %s; the run continues without it. A hook should hand long work to a thread "
            "or task of its own.",
            listener.plugin,
            longest,
            event,
        )
        return TimeoutError(f"{event} took longer than {longest:g} s")
    if (error := call.result()) is not None:
        _log.error("The %s raised in its hook %s; the run continues.", listener.plugin, event, exc_info=error)
    return error


async def _outcome(listener: Listener, arguments: dict[str, Any]) -> BaseException | None:
    """What a function raised, if it did; returned, since a task that raises ``SystemExit`` ends the event loop."""
    call = listener.call_with(arguments)
    try:
        returned, error = (call(), None) if listener.is_async else await _in_thread(call, listener.plugin)
        if inspect.isawaitable(returned):
            await returned
    except KeyboardInterrupt:  # in this thread, it is the user's own
        raise
    except BaseException as raised:
        return raised
    return error


async def _in_thread(call: Callable[[], Any], name: str) -> tuple[Any, BaseException | None]:
    """What a call returned and raised. The thread is a daemon: one that never ends keeps no program from ending."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def run() -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = context.run(call), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_give, answer, outcome)

    context = contextvars.copy_context()
    Thread(target=run, name=name, daemon=True).start()
    return await answer


def _give(answer: asyncio.Future[Any], outcome: Any) -> None:
    if not answer.done():
        answer.set_result(outcome)
